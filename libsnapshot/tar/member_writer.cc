// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/member_writer.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/tar/encoder.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Status;
using base::TreePath;

constexpr const char* capability_key = "security.capability";
constexpr std::string_view whiteout_prefix = ".wh.";

EntryType type_of(mode_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return EntryType::directory;
    case S_IFLNK: return EntryType::symlink;
    case S_IFCHR: return EntryType::character_device;
    case S_IFBLK: return EntryType::block_device;
    case S_IFIFO: return EntryType::fifo;
    default: return EntryType::file;
  }
}

// get: fgetxattr or lgetxattr on the entry. The only attribute that BuildKit's layers carry.
template <class Get>
Status add_capability(TarEntry& member, Get get) {
  std::array<char, 256> value;  // the kernel's has at most 24 bytes
  const ssize_t size = get(value.data(), value.size());
  if (size < 0 && (errno == ENODATA || errno == EOPNOTSUPP)) return {};
  if (size < 0) return fail_errno(errno, "read xattr {}", capability_key);
  if (size > 0) member.xattrs.emplace_back(capability_key, std::string(value.data(), static_cast<std::size_t>(size)));
  return {};
}

base::Result<std::string> read_link(int directory, const char* name) {
  std::array<char, PATH_MAX> target;
  const ssize_t size = ::readlinkat(directory, name, target.data(), target.size());
  if (size < 0) return fail_errno(errno, "read link");
  return std::string(target.data(), static_cast<std::size_t>(size));
}

TarEntry entry_of(const struct ::stat& status) {
  TarEntry member;
  member.type = type_of(status.st_mode);
  member.mode = status.st_mode & 07777;
  member.uid = status.st_uid;
  member.gid = status.st_gid;
  if (S_ISCHR(status.st_mode) || S_ISBLK(status.st_mode)) member.device = status.st_rdev;
  return member;
}

}  // namespace

Status MemberWriter::begin() {
  if (prefix_.empty()) return {};
  return write_member(TRY(describe_directory(root_, prefix_)), -1);
}

Status MemberWriter::write(const Change& change) {
  TRY(write_checked(change), "write \"{}\" into a layer", change.path.str());
  return {};
}

Status MemberWriter::write_checked(const Change& change) {
  if (change.path.is_root()) return {};  // a layer does not speak of the root
  if (change.kind == ChangeKind::remove) return write_whiteout(change);
  if (change.kind == ChangeKind::opaque) {
    return fail(ErrorCode::invalid_argument, "opaque directories have to come as removals");
  }
  const struct ::stat& status = change.status;
  if (S_ISSOCK(status.st_mode)) return {};
  const bool is_new = change.in_layer == InLayer::yes && change.kind != ChangeKind::unmodified;
  const bool has_names = !S_ISDIR(status.st_mode) && status.st_nlink > 1;
  if (!is_new && !has_names) return {};

  const Inode inode(status.st_dev, status.st_ino);
  const auto first = has_names ? first_.find(inode) : first_.end();
  const bool is_link = first != first_.end();
  if (!is_link && !is_new) {
    unmodified_[inode].push_back(change.path);
    return {};
  }
  Fd file;
  TarEntry member = TRY(describe(change, is_link, file));
  if (is_link) member.link = first->second;
  TRY(write_parents(change.path, change.directory));
  if (S_ISDIR(status.st_mode)) directories_.insert(change.path.str());
  TRY(write_member(member, file.get()));
  if (!has_names || is_link) return {};

  // The names that came before the inode was known to be in the layer.
  first_.emplace(inode, member.name);
  const auto earlier = unmodified_.extract(inode);
  if (earlier.empty()) return {};
  member.type = EntryType::hard_link;
  member.link = member.name;
  member.size = 0;
  for (const TreePath& path : earlier.mapped()) {
    member.name = prefix_ + path.str();
    TRY(write_parents(path, -1));
    TRY(write_member(member, -1));
  }
  return {};
}

Status MemberWriter::write_whiteout(const Change& change) {
  TRY(write_parents(change.path, change.directory));
  TarEntry whiteout;
  const TreePath parent = change.path.parent();
  whiteout.name = fmt::format("{}{}{}{}{}", prefix_, parent.str(), parent.is_root() ? "" : "/", whiteout_prefix,
                              change.path.name());
  whiteout.mtime = clamp({});
  return write_member(whiteout, -1);
}

base::Result<TarEntry> MemberWriter::describe(const Change& change, bool is_link, Fd& file) const {
  TarEntry member = entry_of(change.status);
  member.name = prefix_ + change.path.str();
  member.mtime = clamp(change.status.st_mtim);
  if (member.type == EntryType::directory) member.name += '/';
  if (is_link) member.type = EntryType::hard_link;
  const char* name = change.name.data();
  if (member.type == EntryType::symlink) member.link = TRY(read_link(change.directory, name));
  if (member.type == EntryType::file && change.status.st_size > 0) {
    member.size = static_cast<std::uint64_t>(change.status.st_size);
    // O_NONBLOCK: should it be a fifo by now, nobody waits for its writer.
    file = Fd(::openat(change.directory, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
    if (!file) return fail_errno(errno, "open");
    TRY(add_capability(member, [&](char* out, std::size_t size) {
      return ::fgetxattr(file.get(), capability_key, out, size);
    }));
    return member;
  }
  const std::string path = fmt::format("/proc/self/fd/{}/{}", change.directory, name);
  TRY(add_capability(member, [&](char* out, std::size_t size) {
    return ::lgetxattr(path.c_str(), capability_key, out, size);
  }));
  return member;
}

Status MemberWriter::write_member(const TarEntry& member, int file) {
  header_.clear();
  TRY(append_header(member, header_));
  TRY(out_.append(header_));
  ++members_;
  if (member.size == 0) return {};
  TRY(copy_data(file, member.size));
  return out_.append_zeros(padding_after(member.size));
}

Status MemberWriter::copy_data(int file, std::uint64_t size) {
  while (size > 0) {
    const auto room = out_.room();
    const auto wanted = static_cast<std::size_t>(std::min<std::uint64_t>(room.size(), size));
    const ssize_t count = ::read(file, room.data(), wanted);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return fail_errno(errno, "read");
    if (count == 0) return fail(ErrorCode::io, "it became shorter while it was read");
    size -= static_cast<std::uint64_t>(count);
    TRY(out_.advance(static_cast<std::size_t>(count)));
  }
  return {};
}

// The directories above path that are not in the layer yet, the uppermost first; the root never. parent: the one that
// holds the entry, if it is open.
Status MemberWriter::write_parents(const TreePath& path, int parent) {
  std::vector<TreePath> missing;
  for (TreePath above = path.parent(); !above.is_root(); above = above.parent()) {
    if (!directories_.insert(above.str()).second) break;
    missing.push_back(above);
  }
  for (; !missing.empty(); missing.pop_back()) {
    const TreePath& above = missing.back();
    Fd opened;
    if (missing.size() > 1 || parent < 0) {
      opened = TRY(base::open_beneath(root_, above, O_RDONLY | O_DIRECTORY));
    }
    TRY(write_member(TRY(describe_directory(opened ? opened.get() : parent, prefix_ + above.str() + "/")), -1));
  }
  return {};
}

base::Result<TarEntry> MemberWriter::describe_directory(int directory, std::string name) const {
  const auto status = TRY(base::stat_fd(directory), "\"{}\"", name);
  TarEntry member = entry_of(status);
  member.name = std::move(name);
  member.mtime = clamp(status.st_mtim);
  TRY(add_capability(member, [&](char* out, std::size_t size) {
    return ::fgetxattr(directory, capability_key, out, size);
  }));
  return member;
}

timespec MemberWriter::clamp(timespec time) const {
  return time_max_ && time.tv_sec >= *time_max_ ? timespec{.tv_sec = *time_max_, .tv_nsec = 0} : time;
}

Status MemberWriter::finish() { return out_.append_zeros(trailer_bytes); }

}  // namespace cairn::snapshot
