// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/copy_data.h"

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Result;
using base::Status;

constexpr off_t part_max = 8 << 20;  // how much is copied between two looks at the stop token
constexpr std::size_t buffer_size = 256 * 1024;

// Up to `size` bytes at `at`; 0 at the end of the file.
class PartCopy {
 public:
  PartCopy(int from, int to) : from_(from), to_(to) {}

  Result<off_t> copy(off_t at, off_t size) {
    while (in_kernel_) {
      off_t in = at, out = at;
      const ssize_t count = ::copy_file_range(from_, &in, to_, &out, static_cast<std::size_t>(size), 0);
      if (count > 0) return count;
      if (count < 0 && errno == EINTR) continue;
      if (count < 0 && (errno == ENOSPC || errno == EDQUOT || errno == EIO)) return fail_errno(errno, "write");
      // Some file systems say "end of file" for what they do not support.
      in_kernel_ = false;
    }
    return copy_through_memory(at, std::min<off_t>(size, buffer_size));
  }

 private:
  Result<off_t> copy_through_memory(off_t at, off_t size) {
    buffer_.resize(buffer_size);
    ssize_t count;
    do {
      count = ::pread(from_, buffer_.data(), static_cast<std::size_t>(size), at);
    } while (count < 0 && errno == EINTR);
    if (count < 0) return fail_errno(errno, "read");
    for (ssize_t done = 0; done < count;) {
      const ssize_t written = ::pwrite(to_, buffer_.data() + done, static_cast<std::size_t>(count - done), at + done);
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return fail_errno(errno, "write");
      done += written;
    }
    return count;
  }

  int from_, to_;
  bool in_kernel_ = true;
  std::vector<char> buffer_;
};

}  // namespace

Status copy_data(int from, int to, std::uint64_t size, const std::stop_token& stop,
                 const std::function<void(std::uint64_t)>& on_bytes) {
  if (size == 0) return {};
  if (::ioctl(to, FICLONE, from) == 0) {
    on_bytes(size);
    return {};
  }
  const auto end = static_cast<off_t>(size);
  if (::ftruncate(to, end) != 0) return fail_errno(errno, "set the size");
  PartCopy part(from, to);
  off_t at = 0;
  while (at < end) {
    off_t data = ::lseek(from, at, SEEK_DATA);
    if (data < 0 && errno == ENXIO) return {};  // a hole up to the end
    off_t data_end = data < 0 ? end : std::min(::lseek(from, data, SEEK_HOLE), end);
    if (data < 0) data = at;  // a file system without holes
    if (data_end < data) data_end = end;
    for (at = data; at < data_end;) {
      if (stop.stop_requested()) return fail(ErrorCode::cancelled, "copying was cancelled");
      const off_t count = TRY(part.copy(at, std::min(data_end - at, part_max)));
      if (count == 0) return fail(ErrorCode::io, "the file ends {} bytes too early", end - at);
      at += count;
      on_bytes(static_cast<std::uint64_t>(count));
    }
  }
  return {};
}

}  // namespace cairn::solver
