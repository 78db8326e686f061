// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/verified_source.h"

#include <unistd.h>

#include <cerrno>
#include <vector>

namespace cairn::cache {

using base::Result;

Result<std::size_t> VerifiedSource::read(std::span<std::byte> out) {
  if (ended_ || out.empty()) return std::size_t{0};
  const std::size_t count = TRY(base::read_full(file_.get(), out), "read blob {}", digest_);
  hash_.update(out.first(count));
  if (count < out.size()) {
    ended_ = true;
    const BlobDigest found(hash_.finish());
    if (found != digest_)
      return base::fail(base::ErrorCode::corrupt, "read blob {}: its bytes are those of {}", digest_, found);
  }
  return count;
}

Result<BlobDigest> digest_file(int file) {
  if (::lseek(file, 0, SEEK_SET) < 0) return base::fail_errno(errno, "seek in blob");
  base::Sha256 hash;
  std::vector<std::byte> buffer(256 * 1024);
  for (;;) {
    const std::size_t count = TRY(base::read_full(file, buffer));
    hash.update(std::span<const std::byte>(buffer).first(count));
    if (count < buffer.size()) return BlobDigest(hash.finish());
  }
}

}  // namespace cairn::cache
