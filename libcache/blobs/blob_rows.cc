// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_rows.h"

#include <vector>

#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Scan;

Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob) {
  TRY(txn.put(table::record_blobs, {record, blob}, Present{}));
  return txn.put(table::blob_records, {blob, record}, Present{});
}

Status erase_blobs_of(base::lmdb::WriteTxn& txn, RecordId record) {
  std::vector<BlobDigest> named;
  TRY(scan_rows(txn, table::record_blobs, key_prefix(record), [&](const auto& row, const Present&) -> Result<Scan> {
    named.push_back(std::get<1>(row));
    return Scan::next;
  }));
  for (const BlobDigest& blob : named) {
    TRY(txn.erase(table::record_blobs, {record, blob}));
    TRY(txn.erase(table::blob_records, {blob, record}));
  }
  return {};
}

Result<bool> blob_is_named(const base::lmdb::ReadTxn& txn, const BlobDigest& blob) {
  return has_rows(txn, table::blob_records, blob.raw());
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::BlobRow>::encode(const cache::BlobRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.size).i64(row.allocated_bytes).take();
}

Result<cache::BlobRow> Codec<cache::BlobRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::BlobRow row;
  row.size = TRY(reader.u64());
  row.allocated_bytes = TRY(reader.i64());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
