// SPDX-License-Identifier: Apache-2.0
#include <sys/stat.h>

#include "libcache/account/check.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

namespace {

Status check_blob_names(CheckState& state) {
  const auto forward = [&](ReadTxn& txn, const std::tuple<RecordId, BlobDigest>& row, const Present&) -> Status {
    const auto& [record, blob] = row;
    if (!state.records.contains(record)) state.found(5, "blob {}: record {}, which names it, does not exist", blob, record);
    const auto info = TRY(txn.get(table::blobs, blob));
    if (!info) state.found(5, "record {}: its blob {} does not exist", record, blob);
    const auto back = TRY(txn.get(table::blob_records, {blob, record}));
    if (!back) state.found(5, "record {}: its blob {} does not know it", record, blob);
    return {};
  };
  TRY(each_row(state.env, table::record_blobs, forward));
  const auto backward = [&](ReadTxn& txn, const std::tuple<BlobDigest, RecordId>& row, const Present&) -> Status {
    const auto& [blob, record] = row;
    const auto named = TRY(txn.get(table::record_blobs, {record, blob}));
    if (!named) state.found(5, "blob {}: record {} does not name it", blob, record);
    return {};
  };
  return each_row(state.env, table::blob_records, backward);
}

}  // namespace

// Files without a row are legal: the next put of that blob adopts or replaces them.
Status check_blobs(CheckState& state) {
  std::vector<std::pair<BlobDigest, BlobRow>> blobs;
  TRY(each_row(state.env, table::blobs, [&](ReadTxn&, const BlobDigest& digest, const BlobRow& row) -> Status {
    blobs.emplace_back(digest, row);
    return {};
  }));
  for (const auto& [digest, row] : blobs) {
    struct ::stat stat {};
    if (::lstat(blob_path(state.root, digest).c_str(), &stat) != 0)
      state.found(1, "blob {}: its file is missing", digest);
    else if (!S_ISREG(stat.st_mode) || static_cast<std::uint64_t>(stat.st_size) != row.size)
      state.found(2, "blob {}: its file has {} bytes instead of {}", digest, stat.st_size, row.size);
  }
  return check_blob_names(state);
}

}  // namespace cairn::cache
