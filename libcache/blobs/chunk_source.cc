// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/chunk_source.h"

#include <algorithm>
#include <cstring>

namespace cairn::cache {

using base::Result;
using base::Status;

ChunkSource::ChunkSource(std::unique_ptr<BlobClaims::Claim> claim, std::shared_ptr<const ChunkList> list,
                         ReadChunk read_chunk, ByteRange range)
    : claim_(std::move(claim)), list_(std::move(list)), read_chunk_(std::move(read_chunk)), skip_(range.offset), left_(range.length) {
  for (; next_ < list_->chunks.size() && skip_ >= list_->chunks[next_].size; ++next_) skip_ -= list_->chunks[next_].size;
}

Result<std::size_t> ChunkSource::read(std::span<std::byte> out) {
  std::size_t done = 0;
  while (done < out.size() && left_ > 0) {
    if (at_ == chunk_.size()) {
      chunk_ = TRY(read_chunk_(list_->chunks[next_]), "read blob");
      at_ = static_cast<std::size_t>(skip_);
      skip_ = 0;
      ++next_;
    }
    const std::size_t count =
        std::min({out.size() - done, chunk_.size() - at_, static_cast<std::size_t>(left_)});
    std::memcpy(out.data() + done, chunk_.data() + at_, count);
    at_ += count;
    left_ -= count;
    done += count;
  }
  if (!name_) return done;
  hash_.update(out.first(done));
  if (done < out.size()) TRY(finish());
  return done;
}

Status ChunkSource::finish() {
  const BlobDigest name = *name_;
  name_.reset();
  const BlobDigest found(hash_.finish());
  if (found == name) return {};
  return base::fail(base::ErrorCode::corrupt, "read blob {}: its chunks are those of {}", name, found);
}

}  // namespace cairn::cache
