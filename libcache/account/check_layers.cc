// SPDX-License-Identifier: Apache-2.0
// I5: which record is which diff is said in both directions, a diff that blobs hold is that of a record, a record without
// a tree can get one, and a tree of another number than its record leads back to it.
#include "libcache/account/check.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;
using snapshot::SnapshotId;

namespace {

Status check_diffs(CheckState& state) {
  TRY(each_row(state.env, table::layers, [&](ReadTxn& txn, const RecordId& id, const LayerRow& row) -> Status {
    if (!state.records.contains(id)) state.found(5, "layer of record {}, which does not exist", id);
    const bool known = TRY(has_row(txn, table::diff_records, {row.diff, id}));
    if (!known) state.found(5, "record {}: its diff {} does not lead to it", id, row.diff);
    return {};
  }));
  return each_row(state.env, table::diff_records,
                  [&](ReadTxn& txn, const std::tuple<DiffId, RecordId>& key, const Present&) -> Status {
                    const auto& [diff, id] = key;
                    const auto row = TRY(txn.get(table::layers, id));
                    if (!row || row->diff != diff) state.found(5, "diff {}: it leads to record {}, which is another", diff, id);
                    return {};
                  });
}

Status check_diff_blobs(CheckState& state) {
  return each_row(state.env, table::diff_blobs,
                  [&](ReadTxn& txn, const std::tuple<DiffId, BlobDigest>& key, const DiffBlobRow&) -> Status {
                    const auto& [diff, blob] = key;
                    const bool used = TRY(has_rows(txn, table::diff_records, key_prefix(diff)));
                    if (!used) state.found(5, "blob {}: it holds diff {}, which no record is", blob, diff);
                    return {};
                  });
}

Status check_lazy(CheckState& state) {
  return state.env.view([&](ReadTxn& txn) -> Status {
    for (const auto& [id, row] : state.records) {
      if (row.snapshot || TRY(has_row(txn, table::entries, id))) continue;
      const auto layer = TRY(txn.get(table::layers, id));
      const bool there = layer && TRY(has_rows(txn, table::diff_blobs, key_prefix(layer->diff)));
      if (!there) state.found(5, "record {}: it has no tree, and no blob holds its layer", id);
    }
    return {};
  });
}

Status check_tree_owners(CheckState& state) {
  TRY(each_row(state.env, table::tree_owners, [&](ReadTxn&, const SnapshotId& tree, const TreeOwnerRow& row) -> Status {
    const auto record = state.records.find(row.record);
    if (record == state.records.end() || record->second.snapshot != tree)
      state.found(5, "tree {}: record {} does not have it", tree, row.record);
    return {};
  }));
  return state.env.view([&](ReadTxn& txn) -> Status {
    for (const auto& [id, row] : state.records) {
      if (!row.snapshot || row.snapshot.value() == id.value()) continue;
      const auto owner = TRY(txn.get(table::tree_owners, row.snapshot));
      if (!owner || owner->record != id) state.found(5, "record {}: its tree {} does not lead to it", id, row.snapshot);
    }
    return {};
  });
}

}  // namespace

Status check_layers(CheckState& state) {
  TRY(check_diffs(state));
  TRY(check_diff_blobs(state));
  TRY(check_lazy(state));
  return check_tree_owners(state);
}

}  // namespace cairn::cache
