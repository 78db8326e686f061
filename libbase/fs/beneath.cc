// SPDX-License-Identifier: Apache-2.0
// Opening beneath a directory. The kernel takes at most PATH_MAX bytes of path, a tree may be deeper: a longer path is
// walked in pieces, which without links means the same.
#include "libbase/fs/beneath.h"

#include <limits.h>

#include <algorithm>

#include "libbase/fs/long_path.h"
#include "libbase/fs/openat2.h"

namespace cairn::base {

namespace {

// One call of the kernel. path is not empty and shorter than PATH_MAX.
Result<Fd> open_piece(int dir, const std::string& path, int flags, unsigned mode, Follow follow) {
  const int fd = open_at(dir, path.c_str(), flags, mode, follow == Follow::no ? resolve_no_links : resolve_in_root);
  if (fd < 0) return fail_errno(errno, "open \"{}\" in a tree", path);
  return Fd(fd);
}

Result<Fd> open_long_no_links(int dir, std::string_view path, int flags, unsigned mode) {
  Fd holder;
  int at = dir;
  while (path.size() >= PATH_MAX) {
    const std::size_t cut = path.rfind('/', PATH_MAX - 1);
    CHECK(cut != std::string_view::npos, "a path component of {} bytes", path.size());
    Fd next = TRY(open_piece(at, std::string(path.substr(0, cut)), O_PATH | O_DIRECTORY, 0, Follow::no));
    holder = std::move(next);
    at = holder.get();
    path.remove_prefix(cut + 1);
  }
  return open_piece(at, std::string(path), flags, mode, Follow::no);
}

}  // namespace

Result<Fd> open_beneath(int dir, const TreePath& path, int flags, unsigned mode, Follow follow) {
  if (path.is_root()) return open_piece(dir, ".", flags, mode, follow);
  if (path.str().size() < PATH_MAX) return open_piece(dir, path.str(), flags, mode, follow);
  if (follow == Follow::no) return open_long_no_links(dir, path.str(), flags, mode);
  const TreePath real = TRY(resolve_long(dir, path, flags & O_NOFOLLOW ? LastLink::keep : LastLink::follow));
  return open_beneath(dir, real, flags, mode, Follow::no);
}

Result<std::string> read_beneath(int dir, const TreePath& path, std::size_t size_max, Follow follow) {
  // O_NONBLOCK: a FIFO in a tree must not hang the reader.
  const Fd fd = TRY(open_beneath(dir, path, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0, follow));
  const struct ::stat stat = TRY(stat_fd(fd.get()), "read \"{}\" in a tree", path.str());
  if (!S_ISREG(stat.st_mode)) {
    return fail(ErrorCode::invalid_argument, "read \"{}\" in a tree: not a regular file", path.str());
  }
  return TRY(read_all(fd.get(), size_max), "\"{}\" in a tree", path.str());
}

Result<std::optional<struct ::stat>> find_stat_beneath(int dir, const TreePath& path, Follow follow) {
  struct ::stat stat;
  if (!path.is_root() && path.str().find('/') == std::string::npos) {
    // A single name cannot lead anywhere: one call instead of three.
    if (::fstatat(dir, path.str().c_str(), &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0) return stat;
    if (errno == ENOENT) return std::nullopt;
    return fail_errno(errno, "stat \"{}\" in a tree", path.str());
  }
  const Result<Fd> fd = open_beneath(dir, path, O_PATH | O_NOFOLLOW, 0, follow);
  if (!fd && fd.error().code == ErrorCode::not_found) return std::nullopt;
  if (!fd) return tl::unexpected(fd.error());
  return TRY(stat_fd(fd->get()), "\"{}\" in a tree", path.str());
}

Status make_dirs_beneath(int dir, const TreePath& path, unsigned mode) {
  if (path.is_root()) return {};
  Fd holder;
  int at = dir;
  std::string_view rest = path.str();
  while (!rest.empty()) {
    const std::string name(rest.substr(0, rest.find('/')));
    rest.remove_prefix(std::min(rest.size(), name.size() + 1));
    if (::mkdirat(at, name.c_str(), mode) != 0 && errno != EEXIST) {
      return fail_errno(errno, "make directory \"{}\" in a tree", path.str());
    }
    const int next = open_at(at, name.c_str(), O_PATH | O_DIRECTORY, 0, resolve_no_links);
    if (next < 0 && (errno == ENOTDIR || errno == ELOOP)) {
      return fail(ErrorCode::already_exists, "make directory \"{}\" in a tree: \"{}\" is something else", path.str(),
                  name);
    }
    if (next < 0) return fail_errno(errno, "make directory \"{}\" in a tree", path.str());
    holder = Fd(next);
    at = holder.get();
  }
  return {};
}

}  // namespace cairn::base
