// SPDX-License-Identifier: Apache-2.0
// Seals are of trees that records have; what is damaged, and what is built on it, is found by no key.
#include "libcache/account/check.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

Status check_seals(CheckState& state) {
  std::unordered_set<snapshot::SnapshotId> trees;
  for (const auto& [id, row] : state.records)
    if (row.snapshot) trees.insert(row.snapshot);
  TRY(each_row(state.env, table::tree_seals, [&](ReadTxn&, const snapshot::SnapshotId& id, const SealRow&) {
    if (!trees.contains(id)) state.found(5, "seal of snapshot {}, which no record has", id);
    return Status();
  }));
  TRY(each_row(state.env, table::damaged_records, [&](ReadTxn& txn, const RecordId& id, const QuarantineRow&) -> Status {
    state.damaged.insert(id);
    if (!state.records.contains(id)) state.found(5, "record {} is damaged and does not exist", id);
    const bool keyed = TRY(has_rows(txn, table::record_keys, key_prefix(id)));
    if (keyed) state.found(5, "record {} is damaged, and a key leads to it", id);
    return {};
  }));
  for (const auto& [id, row] : state.records)
    for (const RecordId parent : row.parents)
      if (state.damaged.contains(parent) && !state.damaged.contains(id))
        state.found(5, "record {} is damaged, and record {} on it is not", parent, id);
  return {};
}

}  // namespace cairn::cache
