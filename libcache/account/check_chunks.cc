// SPDX-License-Identifier: Apache-2.0
#include <unordered_set>

#include "libcache/account/check.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

namespace {

struct Lists {
  std::unordered_set<BlobDigest> blobs;         // that have one
  std::unordered_set<std::string> memberships;  // chunk and blob, as one key
};

Status check_list(CheckState& state, ReadTxn& txn, const BlobDigest& blob, const ChunkList& list) {
  const auto row = TRY(txn.get(table::blobs, blob));
  if (!row || row->place != BlobPlace::chunks) state.found(5, "blob {}: it has a list of chunks, and is in none", blob);
  if (row && row->size != list.size()) state.found(5, "blob {}: its chunks have {} bytes instead of {}", blob, list.size(), row->size);
  for (const BlobDigest& chunk : list.distinct()) {
    const auto part = TRY(txn.get(table::blobs, chunk));
    if (!part) state.found(5, "blob {}: its chunk {} does not exist", blob, chunk);
    if (!TRY(txn.get(table::chunk_blobs, {chunk, blob}))) state.found(5, "blob {}: its chunk {} does not know it", blob, chunk);
  }
  return {};
}

}  // namespace

Status check_chunks(CheckState& state) {
  Lists lists;
  TRY(each_row(state.env, table::blob_chunks, [&](ReadTxn& txn, const BlobDigest& blob, const ChunkList& list) -> Status {
    lists.blobs.insert(blob);
    for (const Chunk& chunk : list.chunks) lists.memberships.insert(key_prefix(chunk.digest, blob));
    return check_list(state, txn, blob, list);
  }));
  TRY(each_row(state.env, table::blobs, [&](ReadTxn&, const BlobDigest& blob, const BlobRow& row) -> Status {
    if (row.place == BlobPlace::chunks && !lists.blobs.contains(blob)) state.found(5, "blob {}: it has no list of chunks", blob);
    return {};
  }));
  return each_row(state.env, table::chunk_blobs, [&](ReadTxn&, const std::tuple<BlobDigest, BlobDigest>& key, const Present&) -> Status {
    const auto& [chunk, blob] = key;
    if (!lists.memberships.contains(key_prefix(chunk, blob))) state.found(5, "chunk {}: blob {} does not have it", chunk, blob);
    return {};
  });
}

}  // namespace cairn::cache
