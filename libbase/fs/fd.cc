// SPDX-License-Identifier: Apache-2.0
// System calls on descriptors, each repeated while a signal interrupts it.
#include "libbase/fs/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>

namespace cairn::base {

namespace {

// Of the whole process, as the tests that read them want to know; never decremented.
std::atomic<std::uint64_t> fdatasync_count, fsync_count, syncfs_count, lmdb_count;

template <class Call>
auto uninterrupted(Call call) {
  auto result = call();
  while (result < 0 && errno == EINTR) result = call();
  return result;
}

}  // namespace

void Fd::reset() {
  // Linux closes the descriptor even if close() is interrupted; repeating it could close somebody else's.
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Fd> Fd::duplicate() const {
  const int copy = ::fcntl(fd_, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) return fail_errno(errno, "duplicate a file descriptor");
  return Fd(copy);
}

Result<Fd> open_host(const HostPath& path, int flags, unsigned mode) {
  const int fd = uninterrupted([&] { return ::open(path.c_str(), flags | O_CLOEXEC, mode); });
  if (fd < 0) return fail_errno(errno, "open {}", path.str());
  return Fd(fd);
}

Result<Fd> open_host_dir(const HostPath& path) { return open_host(path, O_RDONLY | O_DIRECTORY); }

Result<std::size_t> read_full(int fd, std::span<std::byte> out) {
  std::size_t filled = 0;
  while (filled < out.size()) {
    const ssize_t count = uninterrupted([&] { return ::read(fd, out.data() + filled, out.size() - filled); });
    if (count < 0) return fail_errno(errno, "read");
    if (count == 0) break;
    filled += static_cast<std::size_t>(count);
  }
  return filled;
}

Result<std::string> read_all(int fd, std::size_t size_max) {
  std::string bytes;
  struct ::stat stat;
  // A hint only: files of /proc say 0, and a file may grow while it is read.
  const bool sized = ::fstat(fd, &stat) == 0 && S_ISREG(stat.st_mode) && stat.st_size > 0;
  std::size_t step = sized ? static_cast<std::size_t>(stat.st_size) + 1 : 16384;
  while (true) {
    const std::size_t used = bytes.size();
    // One byte more than is allowed tells a full file from one that is too long.
    if (step > size_max - used) step = size_max - used + 1;
    bytes.resize(used + step);
    const auto out = std::as_writable_bytes(std::span(bytes)).subspan(used);
    const std::size_t count = TRY(read_full(fd, out));
    bytes.resize(used + count);
    if (bytes.size() > size_max) return fail(ErrorCode::invalid_argument, "read: more than {} bytes", size_max);
    if (count < step) return bytes;
    step = std::max<std::size_t>(16384, bytes.size());
  }
}

Result<std::string> read_file(const HostPath& path, std::size_t size_max) {
  const Fd fd = TRY(open_host(path, O_RDONLY));
  return TRY(read_all(fd.get(), size_max), "{}", path.str());
}

Status write_full(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t count = uninterrupted([&] { return ::write(fd, bytes.data(), bytes.size()); });
    if (count < 0) return fail_errno(errno, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(count));
  }
  return {};
}

Status write_full(int fd, std::string_view bytes) { return write_full(fd, std::as_bytes(std::span(bytes))); }

Result<struct ::stat> stat_fd(int fd) {
  struct ::stat stat;
  if (::fstat(fd, &stat) != 0) return fail_errno(errno, "stat");
  return stat;
}

Status sync_data(int fd) {
  fdatasync_count.fetch_add(1, std::memory_order_relaxed);
  if (uninterrupted([&] { return ::fdatasync(fd); }) != 0) return fail_errno(errno, "fdatasync");
  return {};
}

Status sync_file(int fd) {
  fsync_count.fetch_add(1, std::memory_order_relaxed);
  if (uninterrupted([&] { return ::fsync(fd); }) != 0) return fail_errno(errno, "fsync");
  return {};
}

namespace {

thread_local std::uint64_t filesystem_syncs_here = 0;

}  // namespace

Status sync_filesystem(int fd) {
  syncfs_count.fetch_add(1, std::memory_order_relaxed);
  if (uninterrupted([&] { return ::syncfs(fd); }) != 0) return fail_errno(errno, "syncfs");
  ++filesystem_syncs_here;
  return {};
}

std::uint64_t filesystem_syncs_of_this_thread() { return filesystem_syncs_here; }

SyncCounts sync_counts() {
  SyncCounts counts;
  counts.fdatasync = fdatasync_count.load(std::memory_order_relaxed);
  counts.fsync = fsync_count.load(std::memory_order_relaxed);
  counts.syncfs = syncfs_count.load(std::memory_order_relaxed);
  counts.lmdb = lmdb_count.load(std::memory_order_relaxed);
  return counts;
}

void count_lmdb_sync() { lmdb_count.fetch_add(1, std::memory_order_relaxed); }

}  // namespace cairn::base
