// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/beneath.h"

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::base {
namespace {

// A rename anywhere may make the kernel give up a lookup with ".."; it says EAGAIN and wants to be asked again.
constexpr int again_max = 128;

int openat2_retry(int dir, const char* path, const open_how& how) {
  for (int i = 0; i < again_max; ++i) {
    const long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno != EAGAIN && errno != EINTR) return -1;
  }
  return -1;
}

open_how how_of(int flags, unsigned mode, Follow follow) {
  open_how how{};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags | O_CLOEXEC));
  how.mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? mode : 0;
  how.resolve = RESOLVE_NO_MAGICLINKS |
                (follow == Follow::no ? RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS : RESOLVE_IN_ROOT);
  return how;
}

std::string shown(const TreePath& path) { return path.is_root() ? "/" : path.str(); }

}  // namespace

Result<Fd> open_beneath(int dir, const TreePath& path, int flags, unsigned mode, Follow follow) {
  const open_how how = how_of(flags, mode, follow);
  if (path.is_root()) {
    Fd fd(openat2_retry(dir, ".", how));
    if (!fd) return fail_errno(errno, "open the root of a tree");
    return fd;
  }
  // A final symlink is opened itself with O_NOFOLLOW, which RESOLVE_NO_SYMLINKS would refuse; and a path may be longer
  // than the kernel takes at once. Both are met by opening the parent first.
  constexpr std::size_t at_once_max = 4000;
  if (path.str().size() > at_once_max) {
    const std::size_t cut = path.str().rfind('/', at_once_max);
    const TreePath head = TRY(TreePath::parse(path.str().substr(0, cut)));
    const Fd parent = TRY(open_beneath(dir, head, O_PATH | O_DIRECTORY, 0, follow));
    return open_beneath(parent.get(), TRY(TreePath::parse(path.str().substr(cut + 1))), flags, mode, follow);
  }
  if (follow == Follow::no && (flags & O_NOFOLLOW) != 0) {
    Fd parent;
    int parent_fd = dir;
    if (!path.parent().is_root()) {
      parent = Fd(openat2_retry(dir, path.parent().str().c_str(), how_of(O_PATH | O_DIRECTORY, 0, follow)));
      if (!parent) return fail_errno(errno, "open {}", shown(path));
      parent_fd = parent.get();
    }
    Fd fd(::openat(parent_fd, std::string(path.name()).c_str(), flags | O_CLOEXEC, mode));
    if (!fd) return fail_errno(errno, "open {}", shown(path));
    return fd;
  }
  Fd fd(openat2_retry(dir, path.str().c_str(), how));
  if (!fd) return fail_errno(errno, "open {}", shown(path));
  return fd;
}

Result<std::string> read_beneath(int dir, const TreePath& path, std::size_t size_max, Follow follow) {
  const Fd fd = TRY(open_beneath(dir, path, O_RDONLY | O_NONBLOCK, 0, follow));
  return TRY(read_all(fd.get(), size_max), "read {}", shown(path));
}

Result<std::optional<struct ::stat>> find_stat_beneath(int dir, const TreePath& path, Follow follow) {
  using Found = std::optional<struct ::stat>;
  auto parent = open_beneath(dir, path.parent(), O_PATH | O_DIRECTORY, 0, follow);
  if (!parent) {
    if (parent.error().code == ErrorCode::not_found) return Found();
    return tl::unexpected(std::move(parent).error());
  }
  struct ::stat info{};
  const std::string name(path.name());
  const int outcome = path.is_root() ? ::fstat(parent->get(), &info)
                                     : ::fstatat(parent->get(), name.c_str(), &info, AT_SYMLINK_NOFOLLOW);
  if (outcome == 0) return Found(info);
  if (errno == ENOENT || errno == ENOTDIR) return Found();
  return fail_errno(errno, "stat {}", shown(path));
}

Status make_dirs_beneath(int dir, const TreePath& path, unsigned mode) {
  Fd here = TRY(open_beneath(dir, TreePath(), O_PATH | O_DIRECTORY));
  std::string_view rest = path.str();
  while (!rest.empty()) {
    const std::size_t slash = std::min(rest.find('/'), rest.size());
    const std::string name(rest.substr(0, slash));
    rest.remove_prefix(std::min(slash + 1, rest.size()));
    if (::mkdirat(here.get(), name.c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(errno, "make directory {}", shown(path));
    }
    Fd next(::openat(here.get(), name.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!next && errno == ENOTDIR) {
      return fail(ErrorCode::already_exists, "make directory {}: \"{}\" is something else", shown(path), name);
    }
    if (!next) return fail_errno(errno, "make directory {}", shown(path));
    here = std::move(next);
  }
  return {};
}

}  // namespace cairn::base
