// SPDX-License-Identifier: Apache-2.0
// A large blob on its way into the store in chunks: each is put as soon as its end is known, and what is there already is not
// written again. The blob itself is its list, which comes to exist with its row (I1).
#pragma once

#include <deque>
#include <memory>
#include <string>
#include <string_view>

#include "libbase/hash/sha256.h"
#include "libcache/blobs/blob_claims.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/chunk_rule.h"

namespace cairn::cache {

class LocalBlobStore;

// Not thread-safe. Destroyed unfinished, it leaves chunks that nothing names.
class ChunkedBlob {
 public:
  using Claims = std::deque<BlobClaims::Claim>;

  ChunkedBlob(LocalBlobStore& store, const ChunkRule& rule) : store_(store), rule_(rule) {}

  base::Status write(std::string_view bytes);  // no_space, io
  // Once, when all is written.
  base::Status finish();
  BlobDigest digest() { return BlobDigest(whole_.finish()); }

  // It has as many chunks as a list may have; what was written goes on as a file.
  bool is_full() const { return list_->chunks.size() >= chunks_max; }
  base::Status copy_to(BlobFile& file);

  std::shared_ptr<const ChunkList> list() const { return list_; }
  // They keep the chunks until the list's row does.
  std::shared_ptr<Claims> claims() const { return claims_; }

 private:
  base::Status put_chunk(std::string_view bytes);

  LocalBlobStore& store_;
  const ChunkRule rule_;
  base::Sha256 whole_;
  std::string buffer_;  // what is in no chunk yet, from at_ on
  std::size_t at_ = 0;
  std::shared_ptr<ChunkList> list_ = std::make_shared<ChunkList>();
  std::shared_ptr<Claims> claims_ = std::make_shared<Claims>();
};

}  // namespace cairn::cache
