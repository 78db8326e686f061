// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/git_checkout.h"

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>

#include "libbase/fs/beneath.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::TreePath;
using snapshot::Access;
using Talks = GitProgram::Talks;

namespace {

class Checkout {
 public:
  Checkout(const GitCheckout& request, const cache::MutableRef& tree, std::stop_token stop)
      : request_(request), tree_(tree), stop_(std::move(stop)), keeps_git_dir_(request.spec.keep_git_dir && request.spec.subdir.empty()) {
    if (!request.spec.subdir.empty()) folder_ = TreePath().child(".cairn-" + request.resolved.sha);
  }

  Status make() {
    if (keeps_git_dir_) TRY(fill_with_git_dir());
    else TRY(fill());
    TRY(update_submodules());
    if (keeps_git_dir_) TRY(finish_git_dir());
    if (!folder_.is_root()) TRY(take_subdirectory());
    if (request_.spec.mtime == "commit") TRY(set_times());
    return {};
  }

 private:
  std::string commit() const { return request_.resolved.sha + "^{commit}"; }
  std::string work_tree() const { return folder_.is_root() ? git_tree : fmt::format("{}/{}", git_tree, folder_.str()); }

  // Where the checkout's repository is, and its files.
  std::vector<std::string> places() const {
    if (keeps_git_dir_) return {"-C", git_tree};
    return {"-C", work_tree(), fmt::format("--git-dir={}", git_repository), fmt::format("--work-tree={}", work_tree())};
  }
  Result<std::string> git(std::vector<std::string> arguments, Talks talks = Talks::no) const {
    std::vector<std::string> all = places();
    all.insert(all.end(), std::make_move_iterator(arguments.begin()), std::make_move_iterator(arguments.end()));
    GitProgram::Trees trees{.repository = TRY(request_.repository.mount(Access::read_write)),
                            .tree = TRY(tree_.mount(Access::read_write))};
    return request_.git.expect(std::move(all), std::move(trees), talks, stop_);
  }

  Status fill() const {
    if (!folder_.is_root()) {
      const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_write));
      TRY(base::make_dirs_beneath(tree.fd(), folder_, 0755));
    }
    TRY(git({"read-tree", "--reset", "-u", commit()}));
    return {};
  }

  Status fill_with_git_dir() const {
    const GitResolved& resolved = request_.resolved;
    TRY(git({"init", "--quiet", resolved.sha.size() == 64 ? "--object-format=sha256" : "--object-format=sha1", "."}));
    const std::string as = resolved.ref.starts_with("refs/") ? ":" + resolved.ref : "";
    // Of all commands this one alone may use the machine's files: the shared repository's.
    TRY(git({"-c", "protocol.file.allow=always", "fetch", "--quiet", "--update-head-ok", "--depth=1", "--no-tags",
             "--no-write-fetch-head", fmt::format("file://{}", git_repository), "+" + resolved.sha + as}));
    TRY(git({"checkout", "--quiet", "--detach", commit()}));
    return {};
  }

  Status update_submodules() const {
    if (request_.spec.skip_submodules) return {};
    {
      const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_only));
      if (!TRY(base::find_stat_beneath(tree.fd(), folder_.child(".gitmodules")))) return {};
    }
    TRY(git({"submodule", "update", "--init", "--recursive", "--depth=1", "--progress"}, Talks::yes));
    if (!keeps_git_dir_) TRY(remove_git_files());
    return {};
  }

  // The .git of a submodule is a file that leads to a repository which is not part of the tree.
  Status remove_git_files() const {
    const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_write));
    const auto visit = [](const base::TreeEntry& entry) -> Status {
      if (entry.name != ".git" || !S_ISREG(entry.stat.st_mode)) return {};
      if (::unlinkat(entry.directory, ".git", 0) != 0) return base::fail_errno(errno, "remove the .git of a submodule");
      return {};
    };
    TRY(base::measure_tree(tree.fd(), visit));
    return {};
  }

  // Says where it came from, and holds nothing of this machine and this time: an index without what stat says of files.
  Status finish_git_dir() const {
    const std::string& name = request_.git.name();
    TRY(git({"config", "remote.origin.url", name}));
    TRY(git({"config", "remote.origin.fetch", "+refs/heads/*:refs/remotes/origin/*"}));
    {
      const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_write));
      for (const char* file : {"index", "FETCH_HEAD", "ORIG_HEAD"}) {
        TRY(base::remove_all_beneath(tree.fd(), TreePath().child(".git").child(file)));
      }
    }
    TRY(git({"read-tree", commit()}));
    return {};
  }

  Status take_subdirectory() const {
    const std::string& asked = request_.spec.subdir;
    const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_write));
    {
      const base::Fd whole = TRY(base::open_beneath(tree.fd(), folder_, O_RDONLY | O_DIRECTORY));
      const TreePath subdir = TRY(TreePath::clean(asked), "subdirectory {}", asked);
      auto opened = base::open_beneath(whole.get(), subdir, O_RDONLY, 0, base::Follow::in_root);
      if (!opened && opened.error().code == ErrorCode::not_found) {
        return fail(ErrorCode::not_found, "git source {}: {} has no directory \"{}\"", request_.git.name(), request_.resolved.sha, asked);
      }
      const base::Fd from = TRY(std::move(opened), "open \"{}\"", asked);
      if (!S_ISDIR(TRY(base::stat_fd(from.get())).st_mode)) {
        return fail(ErrorCode::invalid_argument, "git source {}: \"{}\" is not a directory", request_.git.name(), asked);
      }
      for (const base::DirEntry& entry : TRY(base::list_dir(from.get()))) {
        if (::renameat2(from.get(), entry.name.c_str(), tree.fd(), entry.name.c_str(), RENAME_NOREPLACE) != 0) {
          return base::fail_errno(errno, "move \"{}/{}\" to the root", asked, entry.name);
        }
      }
    }
    return base::remove_all_beneath(tree.fd(), folder_);
  }

  Status set_times() const {
    const std::string text = TRY(git({"show", "--no-patch", "--format=%ct", commit()}));
    struct ::timespec time = {0, 0};
    if (std::from_chars(text.data(), text.data() + text.size(), time.tv_sec).ec != std::errc()) {
      return fail(ErrorCode::corrupt, "git source {}: the commit's time is \"{}\"", request_.git.name(), text.substr(0, 100));
    }
    const struct ::timespec both[2] = {time, time};
    const snapshot::MountedTree tree = TRY(tree_.mount(Access::read_write));
    const auto visit = [&](const base::TreeEntry& entry) -> Status {
      if (::utimensat(entry.directory, entry.name.c_str(), both, AT_SYMLINK_NOFOLLOW) == 0) return {};
      return base::fail_errno(errno, "set the time of {}", entry.name);
    };
    TRY(base::measure_tree(tree.fd(), visit));
    if (::futimens(tree.fd(), both) != 0) return base::fail_errno(errno, "set the time of the root");
    return {};
  }

  const GitCheckout& request_;
  const cache::MutableRef& tree_;
  std::stop_token stop_;
  const bool keeps_git_dir_;
  TreePath folder_;  // of the tree, into which a commit goes of which only a part is wanted
};

}  // namespace

Status check_out(const GitCheckout& checkout, const cache::MutableRef& tree, std::stop_token stop) {
  return Checkout(checkout, tree, std::move(stop)).make();
}

}  // namespace cairn::solver
