// SPDX-License-Identifier: Apache-2.0
// I9: every sum is what its rows add up to, and a record's space is what its snapshot and its blobs have.
#include "libcache/account/check.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using snapshot::SnapshotId;

namespace {

std::string name_of(const TotalKey& key) {
  constexpr const char* kinds[] = {"line", "type", "project", "build", "step"};
  return fmt::format("{} \"{}\"", kinds[static_cast<std::size_t>(key.kind)], key.name);
}

void compare_sum(CheckState& state, const TotalKey& key, const Totals& stored, const Totals& rows) {
  if (stored == rows) return;
  state.found(9, "sum of {}: {} rows, {} bytes, {} shared and {} inodes are {}, {}, {} and {}", name_of(key), stored.count,
              stored.exclusive_bytes, stored.shared_bytes, stored.inodes, rows.count, rows.exclusive_bytes,
              rows.shared_bytes, rows.inodes);
}

Status check_sums(CheckState& state) {
  const TotalMap rows = TRY(add_up(state.env));
  TotalMap stored = TRY(stored_totals(state.env));
  for (const auto& [key, row] : rows) stored[key];
  for (const auto& [key, row] : stored) {
    const auto found = rows.find(key);
    compare_sum(state, key, row, found == rows.end() ? Totals{} : found->second);
  }
  return {};
}

Status check_tree_sums(CheckState& state) {
  snapshot::TreeTotals stored, rows;
  TRY(state.env.view([&](ReadTxn& txn) -> Status {
    stored = TRY(snapshot::tree_totals(txn));
    rows = {};
    TRY(snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> Result<Scan> {
      rows.committed += info.exclusive;
      return Scan::next;
    }));
    return snapshot::each_trash(txn, [&](SnapshotId, snapshot::Usage usage) -> Result<Scan> {
      rows.trash += usage;
      return Scan::next;
    });
  }));
  if (stored.committed != rows.committed)
    state.found(9, "sum of trees: {} bytes are {}", stored.committed.bytes, rows.committed.bytes);
  if (stored.trash != rows.trash) state.found(9, "sum of trash: {} bytes are {}", stored.trash.bytes, rows.trash.bytes);
  return {};
}

Status check_spaces(CheckState& state) {
  return each_row(state.env, table::records, [&](ReadTxn& txn, const RecordId& id, const RecordRow& row) -> Status {
    const RecordSpace space = TRY(add_up_space(txn, id, row.snapshot));
    if (space != row.space)
      state.found(9, "record {}: its row says {} + {} bytes, its tree and blobs say {} + {}", id,
                  row.space.exclusive_bytes + row.space.blob_exclusive_bytes,
                  row.space.shared_bytes + row.space.blob_shared_bytes,
                  space.exclusive_bytes + space.blob_exclusive_bytes, space.shared_bytes + space.blob_shared_bytes);
    return {};
  });
}

}  // namespace

Status check_totals(CheckState& state) {
  const bool lacking = TRY(state.env.view([](ReadTxn& txn) { return lacks_totals(txn); }));
  if (lacking) return {};  // the next owner makes them
  TRY(check_sums(state));
  TRY(check_tree_sums(state));
  return check_spaces(state);
}

}  // namespace cairn::cache
