// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/fd.h"

#include <fcntl.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>

namespace cairn::base {
namespace {

std::atomic<std::uint64_t> fdatasyncs{0}, fsyncs{0}, syncfss{0}, lmdb_syncs{0};

}  // namespace

void Fd::reset() {
  if (fd_ >= 0) ::close(fd_);
  fd_ = -1;
}

Result<Fd> Fd::duplicate() const {
  Fd copy(::fcntl(fd_, F_DUPFD_CLOEXEC, 0));
  if (!copy) return fail_errno(errno, "duplicate a descriptor");
  return copy;
}

Result<Fd> open_host(const HostPath& path, int flags, unsigned mode) {
  while (true) {
    Fd fd(::open(path.c_str(), flags | O_CLOEXEC, mode));
    if (fd) return fd;
    if (errno != EINTR) return fail_errno(errno, "open {}", path.str());
  }
}

Result<Fd> open_host_dir(const HostPath& path) { return open_host(path, O_RDONLY | O_DIRECTORY); }

Result<std::size_t> read_full(int fd, std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size()) {
    const ssize_t n = ::read(fd, out.data() + done, out.size() - done);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "read");
    if (n == 0) break;
    done += static_cast<std::size_t>(n);
  }
  return done;
}

Result<std::string> read_all(int fd, std::size_t size_max) {
  std::string bytes;
  struct ::stat info{};
  if (::fstat(fd, &info) == 0 && S_ISREG(info.st_mode) && info.st_size > 0) {
    bytes.reserve(std::min(static_cast<std::size_t>(info.st_size), size_max) + 1);
  }
  std::byte buffer[16384];
  while (true) {
    const std::size_t n = TRY(read_full(fd, buffer));
    if (bytes.size() + n > size_max) return fail(ErrorCode::invalid_argument, "more than {} bytes", size_max);
    bytes.append(reinterpret_cast<const char*>(buffer), n);
    if (n < sizeof buffer) return bytes;
  }
}

Result<std::string> read_file(const HostPath& path, std::size_t size_max) {
  const Fd fd = TRY(open_host(path, O_RDONLY));
  return TRY(read_all(fd.get(), size_max), "read {}", path.str());
}

Status write_full(int fd, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return fail_errno(errno, "write");
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
  return {};
}

Status write_full(int fd, std::string_view bytes) {
  return write_full(fd, std::as_bytes(std::span(bytes.data(), bytes.size())));
}

Result<struct ::stat> stat_fd(int fd) {
  struct ::stat info{};
  if (::fstat(fd, &info) != 0) return fail_errno(errno, "stat");
  return info;
}

Status sync_data(int fd) {
  ++fdatasyncs;
  if (::fdatasync(fd) != 0) return fail_errno(errno, "fdatasync");
  return {};
}

Status sync_file(int fd) {
  ++fsyncs;
  if (::fsync(fd) != 0) return fail_errno(errno, "fsync");
  return {};
}

Status sync_filesystem(int fd) {
  ++syncfss;
  if (::syncfs(fd) != 0) return fail_errno(errno, "syncfs");
  return {};
}

SyncCounts sync_counts() { return {.fdatasync = fdatasyncs, .fsync = fsyncs, .syncfs = syncfss, .lmdb = lmdb_syncs}; }
void count_lmdb_sync() { ++lmdb_syncs; }

}  // namespace cairn::base
