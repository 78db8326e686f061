// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/positioned.h"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

namespace cairn::cache {

using base::Result;
using base::Status;

namespace {

// Takes `count` bytes from the front of the vectors.
void consume(std::span<::iovec> pieces, std::size_t count) {
  for (::iovec& piece : pieces) {
    const std::size_t here = std::min(count, piece.iov_len);
    piece.iov_base = static_cast<char*>(piece.iov_base) + here;
    piece.iov_len -= here;
    count -= here;
  }
}

::iovec to_iovec(std::string_view bytes) { return {const_cast<char*>(bytes.data()), bytes.size()}; }

}  // namespace

Result<std::size_t> read_at(int file, std::uint64_t offset, char* out, std::size_t size) {
  return read_two_at(file, offset, out, size, nullptr, 0);
}

Result<std::size_t> read_two_at(int file, std::uint64_t offset, char* first, std::size_t first_size, char* second,
                                std::size_t second_size) {
  std::array<::iovec, 2> pieces = {::iovec{first, first_size}, ::iovec{second, second_size}};
  std::size_t done = 0;
  while (done < first_size + second_size) {
    const ::ssize_t count = ::preadv(file, pieces.data(), 2, static_cast<::off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::fail_errno(errno, "read");
    if (count == 0) break;
    done += static_cast<std::size_t>(count);
    consume(pieces, static_cast<std::size_t>(count));
  }
  return done;
}

Status write_three_at(int file, std::uint64_t offset, std::string_view first, std::string_view second,
                      std::string_view third) {
  std::array<::iovec, 3> pieces = {to_iovec(first), to_iovec(second), to_iovec(third)};
  const std::size_t size = first.size() + second.size() + third.size();
  std::size_t done = 0;
  while (done < size) {
    const ::ssize_t count = ::pwritev(file, pieces.data(), 3, static_cast<::off_t>(offset + done));
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return base::fail_errno(errno, "write");
    if (count == 0) return base::fail_errno(ENOSPC, "write");
    done += static_cast<std::size_t>(count);
    consume(pieces, static_cast<std::size_t>(count));
  }
  return {};
}

}  // namespace cairn::cache
