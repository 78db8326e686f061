// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/entry_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "libbase/codec.h"
#include "libbase/fs/beneath.h"

namespace cairn::cache {
namespace {

using base::Error;
using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Result;
using base::Status;

constexpr std::size_t chunk_size = 128 << 10;
constexpr std::string_view unchanged_hint = "nothing may write to a tree while its digest is computed";
// Symlinks to automounts and the like are looked at, not entered.
constexpr int look_flags = AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT;
constexpr unsigned look_mask = STATX_BASIC_STATS | STATX_BTIME;

Error errno_error() { return {base::code_of_errno(errno), base::errno_text(errno), {}}; }

auto version(const StatX& seen) {
  return std::tuple(identity(seen), seen.stx_size, seen.stx_mtime.tv_sec, seen.stx_mtime.tv_nsec, seen.stx_ctime.tv_sec,
                    seen.stx_ctime.tv_nsec);
}

Result<std::string> read_link(const Place& place, std::uint64_t size) {
  std::string target(std::min<std::uint64_t>(size + 1, 4096), '\0');  // the kernel's limit
  while (true) {
    const ssize_t got = ::readlinkat(place.dir, place.name.c_str(), target.data(), target.size());
    if (got < 0) return fail_errno(errno, "read link \"{}\"", place.name);
    const auto length = static_cast<std::size_t>(got);
    if (length < target.size() || target.size() == 4096) {
      target.resize(length);
      return target;
    }
    target.resize(4096);
  }
}

std::uint64_t number_of(std::string_view text) {
  const base::Sha256Bytes hash = base::sha256(text);
  std::uint64_t number = 0;
  std::memcpy(&number, hash.data(), sizeof number);
  return number;
}

}  // namespace

std::tuple<std::uint64_t, std::uint64_t> identity(const StatX& seen) {
  return {(std::uint64_t{seen.stx_dev_major} << 32) | seen.stx_dev_minor, seen.stx_ino};
}

std::uint64_t link_group_of(const StatX& seen, std::uint64_t salt) {
  if (seen.stx_nlink < 2 || S_ISDIR(seen.stx_mode)) return 0;
  const auto [device, inode] = identity(seen);
  return number_of(base::ByteWriter().u64(salt).u64(device).u64(inode).take());
}

std::uint64_t link_group_of_path(std::string_view first, std::string_view onto) { return number_of(std::string(onto).append(first)); }

EntryType type_of(std::uint16_t mode) {
  switch (mode & S_IFMT) {
    case S_IFDIR: return EntryType::directory;
    case S_IFLNK: return EntryType::symlink;
    case S_IFCHR: return EntryType::char_device;
    case S_IFBLK: return EntryType::block_device;
    case S_IFIFO: return EntryType::fifo;
    case S_IFSOCK: return EntryType::socket;
    default: return EntryType::file;
  }
}

TreeEntry entry_of(const StatX& seen) {
  TreeEntry entry;
  entry.type = type_of(seen.stx_mode);
  entry.mode = seen.stx_mode & 07777;
  entry.uid = seen.stx_uid;
  entry.gid = seen.stx_gid;
  entry.size = seen.stx_size;
  entry.mtime_seconds = seen.stx_mtime.tv_sec;
  entry.mtime_nanoseconds = seen.stx_mtime.tv_nsec;
  if (entry.type == EntryType::char_device || entry.type == EntryType::block_device) {
    entry.device_major = seen.stx_rdev_major;
    entry.device_minor = seen.stx_rdev_minor;
  }
  return entry;
}

tl::unexpected<Error> changed_while_read(std::string_view path) {
  return tl::unexpected(
      Error{ErrorCode::io, fmt::format("\"{}\" changed while it was read", path), std::string(unchanged_hint)});
}

tl::unexpected<Error> unreadable(Error error, std::string_view path) {
  const bool is_gone = error.code == ErrorCode::not_found || error.code == ErrorCode::invalid_argument;
  if (!is_gone) return tl::unexpected(base::add_context(std::move(error), fmt::format("read \"{}\"", path)));
  return tl::unexpected(Error{ErrorCode::io, fmt::format("\"{}\" vanished while it was read: {}", path, error.message),
                              std::string(unchanged_hint)});
}

EntryReader::EntryReader(const Normalisation& normalisation, std::stop_token stop)
    : normalisation_(normalisation), stop_(std::move(stop)) {}

Status EntryReader::check_stop() const {
  if (stop_.stop_requested()) return fail(ErrorCode::cancelled, "compute the digest of a tree: cancelled");
  return {};
}

Result<StatX> EntryReader::look(const Place& place) const {
  StatX seen{};
  if (::statx(place.dir, place.name.c_str(), look_flags, look_mask, &seen) != 0) {
    return unreadable(errno_error(), place.path);
  }
  return seen;
}

Result<StatX> EntryReader::look_at_directory(int dir, std::string_view path) const {
  StatX seen{};
  if (::statx(dir, "", AT_EMPTY_PATH, look_mask, &seen) != 0) return unreadable(errno_error(), path);
  return seen;
}

void EntryReader::begin(TreeEntry& entry) {
  normalise(entry, normalisation_);
  digester_.begin(entry, normalisation_.times);
}

Result<EntryDigests> EntryReader::read(const Place& place, const StatX& seen, TreeEntry& entry) {
  TRY(check_stop());
  if (S_ISDIR(seen.stx_mode)) return changed_while_read(place.path);
  if (S_ISREG(seen.stx_mode) && seen.stx_size > 0) return read_file(place, seen, entry);
  entry = entry_of(seen);
  if (S_ISLNK(seen.stx_mode)) {
    auto link = read_link(place, seen.stx_size);
    if (!link) return unreadable(std::move(link).error(), place.path);
    entry.mode |= 0777;
    entry.link = std::move(*link);
  }
  auto xattrs = base::list_xattrs_at(place.dir, place.name);
  if (!xattrs) return unreadable(std::move(xattrs).error(), place.path);
  entry.xattrs = std::move(*xattrs);
  begin(entry);
  return digester_.finish();
}

Result<EntryDigests> EntryReader::read_header(int dir, const StatX& seen, std::string_view path, TreeEntry& entry) {
  entry = entry_of(seen);
  entry.xattrs = TRY(base::list_xattrs(dir), "\"{}\"", path);
  begin(entry);
  return digester_.finish();
}

Result<EntryDigests> EntryReader::read_or_recall(const Place& place, const StatX& seen, DirectoryStats* stats) {
  if (stats != nullptr) {
    if (const auto known = stats->find(place.name, seen)) {
      ++counts_.remembered;
      return known->digests;
    }
  }
  TreeEntry entry;
  const EntryDigests digests = TRY(read(place, seen, entry));
  if (stats != nullptr) stats->note(place.name, seen, {digests, {}});
  return digests;
}

Result<EntryDigests> EntryReader::read_or_recall_header(int dir, const StatX& seen, std::string_view path,
                                                        DirectoryStats* stats) {
  if (stats != nullptr) {
    if (const auto known = stats->find("", seen)) {
      ++counts_.remembered;
      return known->digests;
    }
  }
  TreeEntry entry;
  const EntryDigests digests = TRY(read_header(dir, seen, path, entry));
  if (stats != nullptr) stats->note("", seen, {digests, {}});
  return digests;
}

Result<EntryDigests> EntryReader::read_file(const Place& place, const StatX& seen, TreeEntry& entry) {
  // O_NONBLOCK: should the name be a FIFO by now, opening it must not wait for a writer.
  constexpr int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;
  int raw = -1;
  do {
    raw = ::openat(place.dir, place.name.c_str(), flags);
  } while (raw < 0 && errno == EINTR);
  if (raw < 0 && errno == ELOOP) return changed_while_read(place.path);
  if (raw < 0) return unreadable(errno_error(), place.path);
  const Fd fd(raw);
  ++counts_.files_opened;
  entry = entry_of(seen);
  entry.xattrs = TRY(base::list_xattrs(fd.get()), "\"{}\"", place.path);
  begin(entry);
  TRY(hash_bytes(fd.get(), entry.size, place.path));
  // One look covers both: that what was opened is what had been seen, and that it has not moved since.
  const StatX after = TRY(look_at_directory(fd.get(), place.path));
  if (version(seen) != version(after)) return changed_while_read(place.path);
  return digester_.finish();
}

Status EntryReader::hash_bytes(int fd, std::uint64_t size, std::string_view path) {
  if (!buffer_) buffer_ = std::make_unique<std::byte[]>(chunk_size);
  for (std::uint64_t total = 0; total < size;) {
    TRY(check_stop());
    const std::span<std::byte> buffer(buffer_.get(), std::min<std::uint64_t>(chunk_size, size - total));
    const auto got = base::read_full(fd, buffer);
    if (!got) return unreadable(got.error(), path);
    counts_.bytes_read += *got;
    if (*got < buffer.size()) return changed_while_read(path);
    digester_.update(buffer);
    total += *got;
    if (told_) told_(*got);
  }
  return {};
}

}  // namespace cairn::cache
