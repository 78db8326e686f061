// SPDX-License-Identifier: Apache-2.0
// A file descriptor with one owner, and whole reads and writes on it. EINTR is never seen by a caller.
#pragma once

#include <sys/stat.h>

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::base {

class Fd {
 public:
  Fd() = default;
  explicit Fd(int fd) : fd_(fd) {}
  ~Fd() { reset(); }
  Fd(Fd&& other) noexcept : fd_(other.release()) {}
  Fd& operator=(Fd&& other) noexcept {
    if (this != &other) {
      reset();
      fd_ = other.release();
    }
    return *this;
  }
  int get() const { return fd_; }
  explicit operator bool() const { return fd_ >= 0; }
  int release() {
    int fd = fd_;
    fd_ = -1;
    return fd;
  }
  void reset();  // closes; an error of close() is lost, so whoever needs durability syncs before
  Result<Fd> duplicate() const;  // close-on-exec

 private:
  int fd_ = -1;
};

// All descriptors opened here are close-on-exec. Flags and modes are those of open(2).
Result<Fd> open_host(const HostPath& path, int flags, unsigned mode = 0);
Result<Fd> open_host_dir(const HostPath& path);

// Reads until `out` is full or the end; the count read is returned.
Result<std::size_t> read_full(int fd, std::span<std::byte> out);
// Reads all that is left, at most size_max bytes. Errors: invalid_argument if there is more.
Result<std::string> read_all(int fd, std::size_t size_max);
Result<std::string> read_file(const HostPath& path, std::size_t size_max);
Status write_full(int fd, std::string_view bytes);
Status write_full(int fd, std::span<const std::byte> bytes);
Result<struct ::stat> stat_fd(int fd);

// fdatasync, fsync and syncfs, counted: tests assert how often the engine asked the disk to be durable.
Status sync_data(int fd);
Status sync_file(int fd);
Status sync_filesystem(int fd);
struct SyncCounts {
  std::uint64_t fdatasync = 0, fsync = 0, syncfs = 0, lmdb = 0;
  std::uint64_t total() const { return fdatasync + fsync + syncfs + lmdb; }
};
SyncCounts sync_counts();        // of this process since its start. Thread-safe.
std::uint64_t filesystem_syncs_of_this_thread();  // how often it has called sync_filesystem() with success
void count_lmdb_sync();          // for libbase/lmdb only: a durable LMDB commit

}  // namespace cairn::base
