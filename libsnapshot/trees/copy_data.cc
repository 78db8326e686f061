// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/copy_data.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <vector>

namespace cairn::snapshot {
namespace {

using base::Status;

Status copy_range(int from, int to, off_t start, off_t end) {
  off_t in = start;
  off_t out = start;
  while (in < end) {
    const ssize_t moved = ::copy_file_range(from, &in, to, &out, static_cast<std::size_t>(end - in), 0);
    if (moved == 0) return {};
    if (moved < 0 && errno == EINTR) continue;
    if (moved < 0) break;
  }
  if (in >= end) return {};
  if (errno != EXDEV && errno != EOPNOTSUPP && errno != EINVAL && errno != ENOSYS) {
    return base::fail_errno(errno, "copy data");
  }
  std::vector<char> buffer(256 * 1024);
  while (in < end) {
    const auto want = std::min<off_t>(static_cast<off_t>(buffer.size()), end - in);
    const ssize_t got = ::pread(from, buffer.data(), static_cast<std::size_t>(want), in);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::fail_errno(errno, "read data");
    if (got == 0) return {};
    for (ssize_t done = 0; done < got;) {
      const ssize_t put = ::pwrite(to, buffer.data() + done, static_cast<std::size_t>(got - done), in + done);
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return base::fail_errno(errno, "write data");
      done += put;
    }
    in += got;
  }
  return {};
}

}  // namespace

base::Result<std::uint64_t> copy_data(int from, int to, off_t size, CopyData data) {
  if (size == 0 || (data == CopyData::clone && ::ioctl(to, FICLONE, from) == 0)) return 0;
  if (::ftruncate(to, size) != 0) return base::fail_errno(errno, "set size");
  std::uint64_t copied = 0;
  for (off_t at = 0; at < size;) {
    off_t start = ::lseek(from, at, SEEK_DATA);
    if (start < 0 && errno == ENXIO) return copied;
    if (start < 0) start = at;  // no holes are known here
    const off_t hole = ::lseek(from, start, SEEK_HOLE);
    const off_t end = hole < 0 ? size : std::min(hole, size);
    TRY(copy_range(from, to, start, end));
    copied += static_cast<std::uint64_t>(std::max<off_t>(end - start, 0));
    at = end;
  }
  return copied;
}

}  // namespace cairn::snapshot
