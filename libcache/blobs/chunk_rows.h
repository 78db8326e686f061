// SPDX-License-Identifier: Apache-2.0
// The tables about blobs that are stored in chunks: which chunks make a blob, and which blobs a chunk is in. A chunk is a
// blob like any other, and never in chunks itself. It stays as long as a blob that it is in.
#pragma once

#include <tuple>
#include <vector>

#include "libcache/blobs/blob_rows.h"

namespace cairn::cache {

// So that the rows of one blob fit into one entry of the journal. A blob with more is a file.
inline constexpr std::size_t chunks_max = 128 * 1024;

struct Chunk {
  BlobDigest digest;
  std::uint64_t size = 0;
  bool operator==(const Chunk&) const = default;
};

// In order. At least one; none is empty.
struct ChunkList {
  std::vector<Chunk> chunks;
  std::uint64_t size() const;                  // of the blob
  std::vector<BlobDigest> distinct() const;
  bool operator==(const ChunkList&) const = default;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::ChunkList> {
  static std::string encode(const cache::ChunkList& list);
  static Result<cache::ChunkList> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr TableSpec<BlobDigest, ChunkList> blob_chunks{{"cache.blob_chunks", Precious::persistent}};
inline constexpr TableSpec<std::tuple<BlobDigest, BlobDigest>, Present> chunk_blobs{  // chunk, blob
    {"cache.chunk_blobs", Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// The row of a blob that is its chunks, with its list; nothing if the blob has a row. No record names it yet. Errors:
// not_found (a chunk has no row), corrupt (a chunk has another size).
base::Status put_chunked_blob(base::lmdb::WriteTxn& txn, const BlobDigest& blob, const ChunkList& list);
// The list of a blob whose row goes; the chunks stay, maybe unnamed. Nothing if it has none. For erase_blob().
base::Status erase_chunks_of(base::lmdb::WriteTxn& txn, const BlobDigest& blob);

// The distinct chunks of a blob; none if it is not in chunks. Of a list that is damaged, O(all chunks).
base::Result<std::vector<BlobDigest>> chunks_of(const base::lmdb::ReadTxn& txn, const BlobDigest& blob);
base::Result<bool> is_chunk(const base::lmdb::ReadTxn& txn, const BlobDigest& blob);  // of a blob that is stored

}  // namespace cairn::cache
