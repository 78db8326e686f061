// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/chunked_blob.h"

#include <algorithm>

#include "libcache/blobs/local_blob_store.h"

namespace cairn::cache {

using base::Status;

namespace {

constexpr std::size_t slice_bytes = 4u << 20;  // that much and a chunk are in memory

}  // namespace

Status ChunkedBlob::write(std::string_view bytes) {
  whole_.update(bytes);
  while (!bytes.empty()) {
    buffer_.append(bytes.substr(0, slice_bytes));
    bytes.remove_prefix(std::min(bytes.size(), slice_bytes));
    while (buffer_.size() - at_ >= rule_.max_bytes()) TRY(put_chunk(std::string_view(buffer_).substr(at_)));
    buffer_.erase(0, at_);
    at_ = 0;
  }
  return {};
}

Status ChunkedBlob::finish() {
  while (at_ < buffer_.size()) TRY(put_chunk(std::string_view(buffer_).substr(at_)));
  return {};
}

Status ChunkedBlob::put_chunk(std::string_view bytes) {
  bytes = bytes.substr(0, rule_.cut(bytes));
  const auto digest = base::digest_of<BlobDigest>(bytes);
  claims_->emplace_back(store_.claims_, digest);
  at_ += bytes.size();
  const ChunkList there = TRY(store_.put_chunk(bytes, digest));
  list_->chunks.insert(list_->chunks.end(), there.chunks.begin(), there.chunks.end());
  return {};
}

Status ChunkedBlob::copy_to(BlobFile& file) {
  for (const Chunk& chunk : list_->chunks) TRY(file.write(TRY(store_.read_chunk(chunk))));
  return file.write(std::string_view(buffer_).substr(at_));
}

}  // namespace cairn::cache
