// SPDX-License-Identifier: Apache-2.0
// The walk of two trees side by side. Where both have a directory both cursors step down; where only the new tree has
// one, only its cursor does, so the level says which of the cursors are in it.
#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <vector>

#include "libbase/fs/deep_cursor.h"
#include "libsnapshot/changes/compare.h"
#include "libsnapshot/changes/link_groups.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Status;

struct Level {
  bool has_lower = false;
  std::vector<std::string> lower, upper;  // names, bytewise
  std::size_t lower_next = 0, upper_next = 0;
};

class DoubleWalk {
 public:
  DoubleWalk(std::optional<int> lower, int upper, const ChangeVisitor& visitor, const ChangeOptions& options)
      : lower_(lower.value_or(-1)), upper_(upper), visitor_(visitor), options_(options) {
    levels_.push_back(Level{.has_lower = lower.has_value(), .lower = {}, .upper = {}});
  }

  Status run() {
    if (TRY(root())) return {};
    while (true) {
      if (options_.stop.stop_requested()) return base::fail(ErrorCode::cancelled, "compare trees");
      Level& level = levels_.back();
      const bool lower_left = level.lower_next < level.lower.size();
      const bool upper_left = level.upper_next < level.upper.size();
      if (!lower_left && !upper_left) {
        if (levels_.size() == 1) return {};
        TRY(leave());
        continue;
      }
      const int order = !lower_left   ? 1
                        : !upper_left ? -1
                                      : level.lower[level.lower_next].compare(level.upper[level.upper_next]);
      // Copies: stepping down moves the levels.
      const std::string name = order < 0 ? level.lower[level.lower_next] : level.upper[level.upper_next];
      if (order <= 0) ++level.lower_next;
      if (order >= 0) ++level.upper_next;
      const base::TreePath path = path_.child(name);
      if (order < 0) TRY(only_lower(path));
      if (order > 0) TRY(only_upper(path, name), "\"{}\"", path.str());
      if (order == 0) TRY(in_both(path, name), "\"{}\"", path.str());
    }
  }

 private:
  // True if both roots are one directory.
  base::Result<bool> root() {
    const Entry upper = TRY(look(upper_, "."));
    Level& level = levels_.back();
    Comparison comparison{.same = false, .in_layer = InLayer::no};
    if (level.has_lower) {
      const Entry lower = TRY(look(lower_, "."));
      if (lower.status.st_dev == upper.status.st_dev && lower.status.st_ino == upper.status.st_ino) return true;
      comparison = TRY(compare_entries(lower, upper, options_), "the root");
    }
    if (!comparison.same) TRY(report(ChangeKind::modify, InLayer::no, path_, upper));
    TRY(list(level));
    return false;
  }

  Status only_lower(const base::TreePath& path) {
    return visitor_(Change{.kind = ChangeKind::remove, .in_layer = InLayer::yes, .path = path, .directory = -1, .name = ""});
  }

  Status only_upper(const base::TreePath& path, const std::string& name) {
    const Entry upper = TRY(look(upper_, name.c_str()));
    links_of_new(upper);
    TRY(report(ChangeKind::add, InLayer::yes, path, upper));
    if (S_ISDIR(upper.status.st_mode)) TRY(enter(path, name, false));
    return {};
  }

  Status in_both(const base::TreePath& path, const std::string& name) {
    if (options_.may_differ && !options_.may_differ(path)) return {};
    const Entry lower = TRY(look(lower_, name.c_str()));
    const Entry upper = TRY(look(upper_, name.c_str()));
    const Comparison comparison = TRY(compare_entries(lower, upper, options_));
    if (!comparison.same) {
      links_of_new(upper);
      TRY(report(ChangeKind::modify, comparison.in_layer, path, upper));
    } else if (!S_ISDIR(upper.status.st_mode) && (lower.status.st_nlink > 1 || upper.status.st_nlink > 1)) {
      return same_with_links(path, lower, upper);
    }
    if (!S_ISDIR(upper.status.st_mode)) return {};
    const bool both = S_ISDIR(lower.status.st_mode);
    if (both && lower.status.st_dev == upper.status.st_dev && lower.status.st_ino == upper.status.st_ino) return {};
    return enter(path, name, both);
  }

  Status same_with_links(const base::TreePath& path, const Entry& lower, const Entry& upper) {
    if (!links_.kept(lower.status, upper.status)) return report(ChangeKind::relink, InLayer::no, path, upper);
    if (options_.replay == Replay::nothing || upper.status.st_nlink < 2) return {};
    return report(ChangeKind::unmodified, InLayer::no, path, upper);
  }

  void links_of_new(const Entry& upper) {
    if (!S_ISDIR(upper.status.st_mode) && upper.status.st_nlink > 1) links_.made_anew(upper.status);
  }

  base::Result<Entry> look(const base::DeepCursor& cursor, const char* name) {
    Entry entry{.directory = cursor.fd(), .name = name};
    if (::fstatat(entry.directory, name, &entry.status, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) != 0) {
      return base::fail_errno(errno, "stat \"{}\"", name);
    }
    if (options_.counts != nullptr) ++options_.counts->entries;
    return entry;
  }

  Status report(ChangeKind kind, InLayer in_layer, const base::TreePath& path, const Entry& upper) {
    return visitor_(Change{.kind = kind,
                           .in_layer = in_layer,
                           .path = path,
                           .status = upper.status,
                           .directory = upper.directory,
                           .name = upper.name});
  }

  Status enter(const base::TreePath& path, const std::string& name, bool both) {
    TRY(upper_.enter(name));
    if (both) TRY(lower_.enter(name));
    levels_.push_back(Level{.has_lower = both, .lower = {}, .upper = {}});
    path_ = path;
    return list(levels_.back());
  }

  Status leave() {
    if (levels_.back().has_lower) TRY(lower_.leave());
    levels_.pop_back();
    path_ = path_.parent();
    return upper_.leave();
  }

  Status list(Level& level) {
    level.upper = TRY(names_in(upper_.fd()));
    if (level.has_lower) level.lower = TRY(names_in(lower_.fd()));
    return {};
  }

  base::Result<std::vector<std::string>> names_in(int directory) {
    if (options_.counts != nullptr) ++options_.counts->directories;
    std::vector<std::string> names;
    for (auto& entry : TRY(base::read_entries(directory))) names.push_back(std::move(entry.name));
    std::sort(names.begin(), names.end());
    return names;
  }

  base::DeepCursor lower_, upper_;
  const ChangeVisitor& visitor_;
  const ChangeOptions& options_;
  std::vector<Level> levels_;  // from the root down
  base::TreePath path_;        // of the last level
  LinkGroups links_;
};

}  // namespace

Status changes_between(std::optional<int> lower, int upper, const ChangeVisitor& visitor,
                       const ChangeOptions& options) {
  return DoubleWalk(lower, upper, visitor, options).run();
}

}  // namespace cairn::snapshot
