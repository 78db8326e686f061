// SPDX-License-Identifier: Apache-2.0
// Sums over the rows of snapshots and of trash, changed in the transaction that changes a row, so that nobody has to scan
// for them. Every write of such a row goes through these functions; nothing else writes the two tables.
#pragma once

#include "libsnapshot/meta/rows.h"

namespace cairn::snapshot {

enum class Counting { add, take };

// The rows of total_table.
inline constexpr const char* committed_total = "committed";  // exclusive space of all committed snapshots
inline constexpr const char* shared_total = "shared";        // what two or more snapshots name, once
inline constexpr const char* trash_total = "trash";          // what erasing the trash frees

void apply(Usage& usage, const Usage& change, Counting direction);
base::Status change_total(base::lmdb::WriteTxn& txn, const char* total, const Usage& usage, Counting direction);

base::Status put_snapshot(base::lmdb::WriteTxn& txn, SnapshotId id, const SnapshotRow& row);
base::Status erase_snapshot(base::lmdb::WriteTxn& txn, SnapshotId id);
base::Status put_trash(base::lmdb::WriteTxn& txn, SnapshotId id, const TrashRow& row);
base::Status erase_trash_row(base::lmdb::WriteTxn& txn, SnapshotId id);

// A store of a build that did not keep these sums gets them: O(rows), once. Otherwise O(1) and no write.
base::Status make_totals(base::lmdb::Env& env);

}  // namespace cairn::snapshot
