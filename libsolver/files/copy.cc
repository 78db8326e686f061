// SPDX-License-Identifier: Apache-2.0
// Where a copy action's sources and destinations are; what lies below a directory is copied by TreeCopier.
#include <fcntl.h>

#include "libbase/fs/beneath.h"
#include "libsolver/files/actions.h"
#include "libsolver/files/tree_copier.h"
#include "libsolver/files/unpack.h"
#include "libsolver/ops/cache_maps.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::TreePath;

namespace {

constexpr mode_t default_directory_mode = 0755;

bool ends_in_directory(std::string_view path) { return path.ends_with('/') || path.ends_with("/.") || path == "."; }

class CopyAction {
 public:
  CopyAction(int from, int to, const wire::FileActionCopy& action, const CopyOptions& options)
      : from_(from), to_(to), action_(action), options_(options),
        given_{options.owner, timestamp_of(action.timestamp)},
        new_dirs_(action.mode_str.empty() && action.mode != -1 ? static_cast<mode_t>(action.mode) & 0777
                                                               : default_directory_mode) {}

  Status run() {
    if (!action_.create_dest_path) TRY(check_parent());
    TRY(check_required());
    const LastName last = action_.follow_symlink ? LastName::follow : LastName::keep;
    std::vector<std::string> sources{action_.src};
    if (action_.allow_wildcard) sources = TRY(expand_wildcards(from_, action_.src, last), "copy {}", action_.src);
    if (sources.empty() && !action_.allow_empty_wildcard) return fail(ErrorCode::not_found, "copy {}: nothing matches", action_.src);
    TreeCopier copier = TRY(TreeCopier::create(action_, given_, options_));
    for (const std::string& source : sources) {
      if (action_.attempt_unpack && TRY(try_unpack(source), "unpack {} to {}", source, action_.dest)) continue;
      TRY(copy(source, last, copier), "copy {} to {}", source, action_.dest);
    }
    return give_times();
  }

 private:
  Status check_parent() {
    const TreePath dest = TRY(resolve_in(to_, action_.dest, LastName::follow));
    if (TRY(base::find_stat_beneath(to_, dest.parent()))) return {};
    return fail(ErrorCode::not_found, "copy to {}: there is no /{}", action_.dest, dest.parent().str());
  }

  // Their content is in the step's key, but with the cache ignored nobody has looked.
  Status check_required() {
    for (const std::string& path : action_.required_paths) {
      const TreePath resolved = TRY(resolve_in(from_, path, LastName::keep));
      if (!TRY(base::find_stat_beneath(from_, resolved))) return fail(ErrorCode::not_found, "copy {}: not found", path);
    }
    return {};
  }

  // false: it is none, and is copied. A link to an archive is one.
  Result<bool> try_unpack(const std::string& text) {
    const TreePath source = TRY(resolve_in(from_, text, LastName::follow));
    const auto stat = TRY(base::find_stat_beneath(from_, source));
    if (!stat || !S_ISREG(stat->st_mode)) return false;
    const base::Fd file = TRY(base::open_beneath(from_, source, O_RDONLY));
    if (!TRY(is_archive(file.get()))) return false;
    const TreePath dest = TRY(resolve_in(to_, action_.dest, LastName::follow));
    auto made = TRY(make_dirs(to_, dest, default_directory_mode, given_));
    made_.insert(made_.end(), std::make_move_iterator(made.begin()), std::make_move_iterator(made.end()));
    const base::Fd directory = TRY(base::open_beneath(to_, dest, O_RDONLY | O_DIRECTORY));
    TRY(unpack(file.get(), directory.get(), given_.owner, options_.stop));
    return true;
  }

  Status copy(const std::string& text, LastName last, TreeCopier& copier) {
    // "/a/" and "/a/." want a directory /a; of "/a/b" only /a has to be one.
    const TreePath named = TRY(resolve_in(to_, action_.dest, LastName::follow));
    if (ends_in_directory(action_.dest)) {
      TRY(need_dirs(named));
    } else {
      const std::string clean = rooted_path(action_.dest);
      TRY(need_dirs(TRY(resolve_in(to_, clean.substr(0, clean.rfind('/')), LastName::follow))));
    }
    const TreePath source = TRY(resolve_in(from_, text, last));
    const auto stat = TRY(base::find_stat_beneath(from_, source));
    if (!stat) return fail(ErrorCode::not_found, "it does not exist");
    const bool is_dir = S_ISDIR(stat->st_mode);
    TreePath target = TRY(resolve_in(to_, action_.dest, LastName::follow));
    const auto there = TRY(base::find_stat_beneath(to_, target));
    if (there && (is_dir ? !action_.dir_copy_contents : S_ISDIR(there->st_mode))) {
      const std::string name = text.ends_with("/.") ? "." : path_base(rooted_path(text));
      if (name != "." && name != "/") target = target.child(name);
    }
    TRY(need_dirs(is_dir && action_.dir_copy_contents && !there ? target : target.parent()));
    return copier.copy(from_, source, *stat, to_, target);
  }

  Status need_dirs(const TreePath& path) {
    auto made = TRY(make_dirs(to_, path, new_dirs_, given_));
    made_.insert(made_.end(), std::make_move_iterator(made.begin()), std::make_move_iterator(made.end()));
    return {};
  }

  // What was copied into the directories that were made has changed their times.
  Status give_times() {
    for (auto path = made_.rbegin(); given_.modified && path != made_.rend(); ++path) {
      TRY(give(TRY(base::open_beneath(to_, *path, O_RDONLY | O_DIRECTORY)).get(), {.modified = given_.modified}));
    }
    return {};
  }

  int from_, to_;
  const wire::FileActionCopy& action_;
  const CopyOptions& options_;
  Given given_;
  mode_t new_dirs_;
  std::vector<TreePath> made_;
};

}  // namespace

Status copy_paths(int from, int to, const wire::FileActionCopy& action, const CopyOptions& options) {
  return CopyAction(from, to, action, options).run();
}

}  // namespace cairn::solver
