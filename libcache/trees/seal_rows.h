// SPDX-License-Identifier: Apache-2.0
// The tables of seals, and of records whose trees are not what they were. A damaged record has no key, and neither has
// any that is built on it: they stay until nobody holds them, and go with a collection.
#pragma once

#include <optional>
#include <string>

#include "libbase/lmdb/env.h"
#include "libcache/blobs/quarantine.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"
#include "libcache/trees/tree_seal.h"

namespace cairn::cache {

struct SealRow {
  std::uint8_t rules = seal_rules;
  TreeSeal changes;              // of fs/
  std::optional<TreeSeal> flat;  // of flat/, once there is one
  bool operator==(const SealRow&) const = default;
};

// Where the next scrub of trees begins; 0: at the first.
struct TreeScrubRow {
  RecordId next;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::SealRow> {
  static std::string encode(const cache::SealRow& row);
  static Result<cache::SealRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::TreeScrubRow> {
  static std::string encode(const cache::TreeScrubRow& row);
  static Result<cache::TreeScrubRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<snapshot::SnapshotId, SealRow> tree_seals{
    {"cache.tree_seals", base::lmdb::Precious::persistent}};
inline constexpr base::lmdb::TableSpec<RecordId, QuarantineRow> damaged_records{
    {"cache.damaged_records", base::lmdb::Precious::persistent}};
inline constexpr base::lmdb::TableSpec<std::string, TreeScrubRow> tree_scrub{
    {"cache.tree_scrub", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// Whether the record's tree, or one that it is built on, was found damaged. Costs nothing in a store without such.
base::Result<bool> is_damaged(const base::lmdb::ReadTxn& txn, RecordId record);

// From here on no key leads to the record; what is there of its keys says why (Tombstone). Nothing if it is marked
// already. The record exists.
base::Status mark_damaged(base::lmdb::WriteTxn& txn, RecordId record, const QuarantineRow& why);

// With the record's row.
base::Status erase_seals_of(base::lmdb::WriteTxn& txn, RecordId record, snapshot::SnapshotId snapshot);

}  // namespace cairn::cache
