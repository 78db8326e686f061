// SPDX-License-Identifier: Apache-2.0
#include "libsolver/files/actions.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsolver/sources/node_metadata.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;
using base::TreePath;

Status make_directory(int tree, const wire::FileActionMkDir& action, std::optional<Ownership> owner) {
  const TreePath path = TRY(resolve_in(tree, action.path, LastName::follow));
  if (!action.make_parents && !path.is_root()) {
    TRY(base::open_beneath(tree, path.parent(), O_PATH | O_DIRECTORY), "make directory {}", action.path);
  }
  const Given given{owner, timestamp_of(action.timestamp)};
  const auto made = TRY(make_dirs(tree, path, static_cast<mode_t>(action.mode) & 0777, given));
  // What was made in them has changed their times.
  for (auto each = made.rbegin(); given.modified && each != made.rend(); ++each) {
    TRY(give(TRY(base::open_beneath(tree, *each, O_RDONLY | O_DIRECTORY)).get(), {.modified = given.modified}));
  }
  return {};
}

Status make_file(int tree, const wire::FileActionMkFile& action, std::optional<Ownership> owner) {
  const TreePath path = TRY(resolve_in(tree, action.path, LastName::follow));
  if (path.is_root()) return fail(ErrorCode::invalid_argument, "make file {}: it is a directory", action.path);
  const Place place = TRY(open_place(tree, path), "make file {}", action.path);
  const int flags = O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK;
  Fd file(::openat(place.directory.get(), place.name.c_str(), flags | O_CREAT | O_EXCL, 0600));
  if (file) {
    if (::fchmod(file.get(), static_cast<mode_t>(action.mode) & 0777) != 0) return fail_errno(errno, "set the mode");
  } else {
    if (errno != EEXIST) return fail_errno(errno, "make file {}", action.path);
    file = Fd(::openat(place.directory.get(), place.name.c_str(), flags));
    if (!file) return fail_errno(errno, "open {}", action.path);
    const struct ::stat stat = TRY(base::stat_fd(file.get()));
    if (!S_ISREG(stat.st_mode)) return fail(ErrorCode::invalid_argument, "make file {}: it is there and no file", action.path);
    if (::ftruncate(file.get(), 0) != 0) return fail_errno(errno, "empty {}", action.path);
  }
  TRY(base::write_full(file.get(), std::string_view(action.data.value)), "write {}", action.path);
  return give(file.get(), {owner, timestamp_of(action.timestamp)});
}

Status make_link(int tree, const wire::FileActionSymlink& action, std::optional<Ownership> owner) {
  const TreePath path = TRY(resolve_in(tree, action.newpath, LastName::follow));
  if (path.is_root()) return fail(ErrorCode::already_exists, "make link {}: it is a directory", action.newpath);
  const Place place = TRY(open_place(tree, path), "make link {}", action.newpath);
  if (::symlinkat(action.oldpath.c_str(), place.directory.get(), place.name.c_str()) != 0) {
    return fail_errno(errno, "make link {}", action.newpath);
  }
  const Fd link = TRY(open_node(place.directory.get(), place.name));
  return give(link.get(), {owner, timestamp_of(action.timestamp)});
}

namespace {

Status remove_path(int tree, const std::string& text, const wire::FileActionRm& action) {
  const TreePath path = TRY(resolve_in(tree, text, LastName::keep));
  if (path.is_root()) return fail(ErrorCode::invalid_argument, "remove \"{}\": it is the root", text);
  const auto stat = TRY(base::find_stat_beneath(tree, path), "remove {}", text);
  if (!stat && !action.allow_not_found) return fail(ErrorCode::not_found, "remove {}: it does not exist", text);
  if (!stat) return {};
  return base::remove_all_beneath(tree, path);
}

}  // namespace

Status remove_paths(int tree, const wire::FileActionRm& action) {
  if (!action.allow_wildcard) return remove_path(tree, action.path, action);
  auto paths = expand_wildcards(tree, action.path, LastName::follow);
  if (!paths && paths.error().code == ErrorCode::not_found && action.allow_not_found) return {};
  for (const std::string& path : TRY(std::move(paths))) TRY(remove_path(tree, path, action));
  return {};
}

}  // namespace cairn::solver
