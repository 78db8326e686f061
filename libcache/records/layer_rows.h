// SPDX-License-Identifier: Apache-2.0
// The tables of layers: which diff a record is, which records are that diff, which blobs hold it in which compression,
// and which record a tree belongs to that came later than its record.
#pragma once

#include <optional>
#include <tuple>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/layer_blob.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

struct LayerRow {
  DiffId diff;
};
struct DiffBlobRow {
  base::Compression compression = base::Compression::gzip;
  std::uint64_t size = 0;
};
// The record that has a tree of another number than its own.
struct TreeOwnerRow {
  RecordId record;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::LayerRow> {
  static std::string encode(const cache::LayerRow& row);
  static Result<cache::LayerRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::DiffBlobRow> {
  static std::string encode(const cache::DiffBlobRow& row);
  static Result<cache::DiffBlobRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::TreeOwnerRow> {
  static std::string encode(const cache::TreeOwnerRow& row);
  static Result<cache::TreeOwnerRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<RecordId, LayerRow> layers{{"cache.layers", Precious::persistent}};
inline constexpr TableSpec<std::tuple<DiffId, RecordId>, Present> diff_records{{"cache.diff_records", Precious::persistent}};
inline constexpr TableSpec<std::tuple<DiffId, BlobDigest>, DiffBlobRow> diff_blobs{
    {"cache.diff_blobs", Precious::persistent}};
inline constexpr TableSpec<snapshot::SnapshotId, TreeOwnerRow> tree_owners{{"cache.tree_owners", Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// The record is this diff, and this blob holds it; if the blob is here the record names it.
base::Status put_layer(base::lmdb::WriteTxn& txn, RecordId record, const LayerBlob& layer);
// With the record's row; the last record of a diff takes what is known of its blobs with it.
base::Status erase_layer_of(base::lmdb::WriteTxn& txn, RecordId record);
base::Result<std::optional<DiffId>> diff_of(const base::lmdb::ReadTxn& txn, RecordId record);
base::Result<std::vector<LayerBlob>> blobs_of_diff(const base::lmdb::ReadTxn& txn, const DiffId& diff);

// The record that a snapshot is the tree of: that of its number, or the one that tree_owners says.
base::Result<RecordId> record_of_tree(const base::lmdb::ReadTxn& txn, snapshot::SnapshotId tree);

}  // namespace cairn::cache
