// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/chunk_rows.h"

#include <algorithm>

#include "libcache/account/totals.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::uint64_t blob_bytes_max = std::uint64_t{1} << 62;

// Without the list.
Result<std::vector<BlobDigest>> find_chunks_of(const ReadTxn& txn, const BlobDigest& blob) {
  std::vector<BlobDigest> chunks;
  TRY(scan_rows(txn, table::chunk_blobs, {}, [&](const auto& key, const Present&) -> Result<Scan> {
    if (std::get<1>(key) == blob) chunks.push_back(std::get<0>(key));
    return Scan::next;
  }));
  return chunks;
}

}  // namespace

std::uint64_t ChunkList::size() const {
  std::uint64_t sum = 0;
  for (const Chunk& chunk : chunks) sum += chunk.size;
  return sum;
}

std::vector<BlobDigest> ChunkList::distinct() const {
  std::vector<BlobDigest> digests;
  for (const Chunk& chunk : chunks) digests.push_back(chunk.digest);
  std::sort(digests.begin(), digests.end());
  digests.erase(std::unique(digests.begin(), digests.end()), digests.end());
  return digests;
}

Status put_chunked_blob(WriteTxn& txn, const BlobDigest& blob, const ChunkList& list) {
  if (TRY(txn.get(table::blobs, blob))) return {};
  for (const Chunk& chunk : list.chunks) {
    const auto row = TRY(txn.get(table::blobs, chunk.digest));
    if (!row || row->place == BlobPlace::chunks)
      return base::fail(ErrorCode::not_found, "put blob {}: its chunk {} is not here", blob, chunk.digest);
    if (row->size != chunk.size)
      return base::fail(ErrorCode::corrupt, "put blob {}: its chunk {} has {} bytes", blob, chunk.digest, row->size);
  }
  TRY(put_blob(txn, blob, BlobRow{list.size(), 0, BlobPlace::chunks, {}}));
  TRY(txn.put(table::blob_chunks, blob, list));
  for (const BlobDigest& chunk : list.distinct()) TRY(txn.put(table::chunk_blobs, {chunk, blob}, Present{}));
  return {};
}

Status erase_chunks_of(WriteTxn& txn, const BlobDigest& blob) {
  for (const BlobDigest& chunk : TRY(chunks_of(txn, blob))) TRY(txn.erase(table::chunk_blobs, {chunk, blob}));
  return txn.erase(table::blob_chunks, blob);
}

Result<std::vector<BlobDigest>> chunks_of(const ReadTxn& txn, const BlobDigest& blob) {
  const auto list = txn.get(table::blob_chunks, blob);
  if (list && !*list) return std::vector<BlobDigest>();
  if (list) return (*list)->distinct();
  if (list.error().code != ErrorCode::corrupt) return tl::unexpected(list.error());
  return find_chunks_of(txn, blob);
}

Result<bool> is_chunk(const ReadTxn& txn, const BlobDigest& blob) { return has_rows(txn, table::chunk_blobs, blob.raw()); }

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::ChunkList>::encode(const cache::ChunkList& list) {
  ByteWriter writer;
  writer.u8(cache::row_version).varint(list.chunks.size());
  for (const cache::Chunk& chunk : list.chunks) writer.varint(chunk.size).raw(chunk.digest.raw());
  return writer.take();
}

Result<cache::ChunkList> Codec<cache::ChunkList>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const std::uint64_t count = TRY(reader.varint());
  if (count == 0 || count > cache::chunks_max) return fail(ErrorCode::corrupt, "a list of {} chunks", count);
  cache::ChunkList list;
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    cache::Chunk chunk;
    chunk.size = TRY(reader.varint());
    if (chunk.size == 0 || chunk.size > cache::blob_bytes_max - sum)
      return fail(ErrorCode::corrupt, "a chunk of {} bytes", chunk.size);
    sum += chunk.size;
    chunk.digest = TRY(BlobDigest::from_raw(TRY(reader.raw(32))));
    list.chunks.push_back(chunk);
  }
  TRY(reader.expect_end());
  return list;
}

}  // namespace cairn::base
