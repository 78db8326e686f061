// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/totals.h"


namespace cairn::snapshot {
namespace {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

Result<bool> lacks_totals(ReadTxn& txn) {
  if (TRY(txn.get(total_table, committed_total))) return false;
  return TRY(txn.count(snapshot_table)) > 0 || TRY(txn.count(trash_table)) > 0;
}

Result<Usage> sum_snapshots(ReadTxn& txn) {
  Usage sum;
  TRY(each_snapshot(txn, [&](const SnapshotInfo& info) -> Result<Scan> {
    sum += info.exclusive;
    return Scan::next;
  }));
  return sum;
}

Result<Usage> sum_trash(ReadTxn& txn) {
  Usage sum;
  TRY(each_trash(txn, [&](SnapshotId, Usage usage) -> Result<Scan> {
    sum += usage;
    return Scan::next;
  }));
  return sum;
}

}  // namespace

void apply(Usage& usage, const Usage& change, Counting direction) {
  if (direction == Counting::add) usage += change;
  if (direction == Counting::take) usage -= change;
}

Status change_total(WriteTxn& txn, const char* total, const Usage& usage, Counting direction) {
  auto row = TRY(txn.get(total_table, total)).value_or(TotalRow{});
  apply(row.usage, usage, direction);
  return txn.put(total_table, total, row);
}

Status put_snapshot(WriteTxn& txn, SnapshotId id, const SnapshotRow& row) {
  Usage change = row.exclusive;
  if (const auto old = TRY(txn.get(snapshot_table, id))) change -= old->exclusive;
  TRY(txn.put(snapshot_table, id, row));
  return change_total(txn, committed_total, change, Counting::add);
}

Status erase_snapshot(WriteTxn& txn, SnapshotId id) {
  const auto old = TRY(txn.get(snapshot_table, id));
  if (!old) return {};
  TRY(txn.erase(snapshot_table, id));
  return change_total(txn, committed_total, old->exclusive, Counting::take);
}

Status put_trash(WriteTxn& txn, SnapshotId id, const TrashRow& row) {
  Usage change = row.usage;
  if (const auto old = TRY(txn.get(trash_table, id))) change -= old->usage;
  TRY(txn.put(trash_table, id, row));
  return change_total(txn, trash_total, change, Counting::add);
}

Status erase_trash_row(WriteTxn& txn, SnapshotId id) {
  const auto old = TRY(txn.get(trash_table, id));
  if (!old) return {};
  TRY(txn.erase(trash_table, id));
  return change_total(txn, trash_total, old->usage, Counting::take);
}

Status make_totals(base::lmdb::Env& env) {
  const bool lacking = TRY(env.view([](ReadTxn& txn) { return lacks_totals(txn); }));
  if (!lacking) return {};
  TRY(env.update([](WriteTxn& txn) -> Status {
    TRY(txn.put(total_table, committed_total, TotalRow{TRY(sum_snapshots(txn))}));
    return txn.put(total_table, trash_total, TotalRow{TRY(sum_trash(txn))});
  }));
  return {};
}

Result<Usage> shared_usage(ReadTxn& txn) {
  return TRY(txn.get(total_table, shared_total)).value_or(TotalRow{}).usage;
}

Result<TreeTotals> tree_totals(ReadTxn& txn) {
  TreeTotals totals;
  totals.shared = TRY(shared_usage(txn));
  const bool lacking = TRY(lacks_totals(txn));
  if (lacking) {  // nobody has opened the store for writing since sums are kept
    totals.committed = TRY(sum_snapshots(txn));
    totals.trash = TRY(sum_trash(txn));
    return totals;
  }
  totals.committed = TRY(txn.get(total_table, committed_total)).value_or(TotalRow{}).usage;
  totals.trash = TRY(txn.get(total_table, trash_total)).value_or(TotalRow{}).usage;
  return totals;
}

}  // namespace cairn::snapshot
