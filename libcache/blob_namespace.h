// SPDX-License-Identifier: Apache-2.0
// One store for parties that may not read each other's blobs. Bytes are stored once for all; a blob is there for a namespace
// if its bytes were put through it, or an entry that it may be shown needs it. To others it is not there: they cannot read it,
// name it or learn of it, and putting it costs them what putting a new one costs. Not hidden is how well large blobs in chunks
// (options.h) share theirs.
#pragma once

#include <optional>
#include <string_view>

#include "libbase/id.h"
#include "libcache/blob_store.h"

namespace cairn::cache {

class Cache;

using NamespaceId = base::Id<struct NamespaceMeaning>;
NamespaceId namespace_id(std::string_view name);  // the first 64 bits of a SHA-256

// The blobs of a cache, which outlives it, as a namespace has them; without one all of them. Copied freely. Thread-safe. As
// the store of the cache, with a put that says nothing of others' blobs; a blob of others is not_found.
class BlobView final : public BlobStore {
 public:
  BlobView(Cache& cache, std::optional<NamespaceId> space) : cache_(&cache), space_(space) {}
  const std::optional<NamespaceId>& space() const { return space_; }

  base::Result<Put> put(base::ByteSource& source, std::optional<BlobDigest> expected) override;
  base::Result<Put> put(std::string_view bytes, std::optional<BlobDigest> expected = {}) override;
  base::Result<std::optional<BlobInfo>> find(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open(const BlobDigest& digest) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_range(const BlobDigest& digest, ByteRange range) override;
  base::Result<std::string> read(const BlobDigest& digest, std::size_t size_max) override;

 private:
  base::Status expect_there(const BlobDigest& digest) const;

  Cache* cache_;
  std::optional<NamespaceId> space_;
};

}  // namespace cairn::cache
