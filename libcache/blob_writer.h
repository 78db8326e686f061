// SPDX-License-Identifier: Apache-2.0
// A put for whoever is given the bytes of a blob piece by piece and cannot be asked for them: a server's side of an upload.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "libbase/result.h"
#include "libcache/blob_namespace.h"
#include "libcache/blob_store.h"

namespace cairn::cache {

class Cache;

// What stays small waits in memory, a larger one is hashed and written as it comes. Dropped, it leaves nothing. Not
// thread-safe; gone before the cache is.
class BlobWriter {
 public:
  explicit BlobWriter(Cache& cache, std::optional<NamespaceId> space = {});  // for whom it is there then
  ~BlobWriter();
  BlobWriter(BlobWriter&&) noexcept;
  BlobWriter& operator=(BlobWriter&&) noexcept;

  base::Status write(std::string_view bytes);  // no_space, io
  std::uint64_t size() const;                  // written so far
  // Once, and the last call: as BlobStore::put of all that was written.
  base::Result<BlobStore::Put> finish(std::optional<BlobDigest> expected);

  struct State;  // private

 private:
  std::unique_ptr<State> state_;
};

// Room for so many bytes in a store that may hold live_bytes_max (0: only the disk says), made by a collection if there
// is none yet. Errors: no_space, io.
base::Status expect_room(Cache& cache, std::int64_t live_bytes_max, std::uint64_t bytes);

}  // namespace cairn::cache
