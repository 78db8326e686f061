// SPDX-License-Identifier: Apache-2.0
// Reads a blob that is stored in chunks, or a part of it: one chunk in memory at a time, each verified before a byte of it
// is given out.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libbase/compress/decoder.h"
#include "libbase/hash/sha256.h"
#include "libcache/blobs/blob_claims.h"

namespace cairn::cache {

class ChunkSource final : public base::ByteSource {
 public:
  using ReadChunk = std::function<base::Result<std::string>(const Chunk&)>;

  // claim: keeps the blob, and with it its chunks, while it is read. The range is inside of the blob.
  ChunkSource(std::unique_ptr<BlobClaims::Claim> claim, std::shared_ptr<const ChunkList> list, ReadChunk read_chunk,
              ByteRange range);
  // Of a source from the blob's beginning to its end: compares all bytes with its name (I2).
  void compare_with(const BlobDigest& name) { name_ = name; }
  base::Result<std::size_t> read(std::span<std::byte> out) override;  // corrupt, io

 private:
  base::Status finish();

  std::unique_ptr<BlobClaims::Claim> claim_;
  std::shared_ptr<const ChunkList> list_;
  ReadChunk read_chunk_;
  std::size_t next_ = 0;        // chunk
  std::uint64_t skip_, left_;   // bytes: before the range, and of it
  std::string chunk_;
  std::size_t at_ = 0;          // in chunk_
  std::optional<BlobDigest> name_;
  base::Sha256 hash_;
};

}  // namespace cairn::cache
