// SPDX-License-Identifier: Apache-2.0
// The tables about blobs: that they exist, and which records name them.
#pragma once

#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/blob_store.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

struct BlobRow {
  std::uint64_t size = 0;
  std::int64_t allocated_bytes = 0;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::BlobRow> {
  static std::string encode(const cache::BlobRow& row);
  static Result<cache::BlobRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<BlobDigest, BlobRow> blobs{{"cache.blobs", Precious::persistent}};
inline constexpr TableSpec<std::tuple<RecordId, BlobDigest>, Present> record_blobs{
    {"cache.record_blobs", Precious::persistent}};
inline constexpr TableSpec<std::tuple<BlobDigest, RecordId>, Present> blob_records{
    {"cache.blob_records", Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

base::Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob);
base::Status erase_blobs_of(base::lmdb::WriteTxn& txn, RecordId record);
base::Result<bool> blob_is_named(const base::lmdb::ReadTxn& txn, const BlobDigest& blob);

}  // namespace cairn::cache
