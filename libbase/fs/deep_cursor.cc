// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/deep_cursor.h"

#include <dirent.h>

#include "libbase/fs/openat2.h"

namespace cairn::base {

Status DeepCursor::enter(std::string name) {
  Fd next(open_at(fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW, 0, resolve_no_links | RESOLVE_NO_XDEV));
  if (!next && errno == EXDEV) return fail(ErrorCode::busy, "enter \"{}/{}\": a mount", path(), name);
  if (!next && errno == ELOOP) return fail(ErrorCode::not_found, "enter \"{}/{}\": now a link", path(), name);
  if (!next) return fail_errno(errno, "enter \"{}/{}\"", path(), name);
  const struct ::stat stat = TRY(stat_fd(next.get()));
  // RESOLVE_NO_XDEV knows mounts; the device number also knows subvolumes.
  if (!frames_.empty() && frames_.back().device != stat.st_dev) {
    return fail(ErrorCode::unavailable, "enter \"{}/{}\": a subvolume", path(), name);
  }
  frames_.push_back(Frame{std::move(name), stat.st_dev, stat.st_ino, {}});
  fd_ = std::move(next);
  return {};
}

Status DeepCursor::leave() {
  CHECK(!frames_.empty());
  if (frames_.size() > 1) {
    Fd up(::openat(fd_.get(), "..", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
    if (!up) return fail_errno(errno, "leave \"{}\"", path());
    const struct ::stat stat = TRY(stat_fd(up.get()));
    const Frame& above = frames_[frames_.size() - 2];
    if (stat.st_dev != above.device || stat.st_ino != above.inode) {
      return fail(ErrorCode::busy, "leave \"{}\": it was moved", path());
    }
    fd_ = std::move(up);
  } else {
    fd_.reset();
  }
  frames_.pop_back();
  return {};
}

std::string DeepCursor::path() const {
  std::string text;
  for (const Frame& frame : frames_) text += (text.empty() ? "" : "/") + frame.name;
  return text;
}

Result<std::vector<DirEntry>> read_entries(int dir) {
  if (::lseek(dir, 0, SEEK_SET) < 0) return fail_errno(errno, "rewind a directory");
  std::vector<DirEntry> entries;
  alignas(::dirent64) char buffer[32768];
  while (true) {
    const ssize_t size = ::getdents64(dir, buffer, sizeof buffer);
    if (size < 0 && errno == ENOENT) return entries;  // removed while it was open: it is empty for ever
    if (size < 0) return fail_errno(errno, "list a directory");
    if (size == 0) return entries;
    for (ssize_t at = 0; at < size;) {
      const auto* entry = reinterpret_cast<const ::dirent64*>(buffer + at);
      at += entry->d_reclen;
      const std::string_view name = entry->d_name;
      if (name != "." && name != "..") entries.push_back(DirEntry{std::string(name), entry->d_type});
    }
  }
}

}  // namespace cairn::base
