// SPDX-License-Identifier: Apache-2.0
// Active trees with a row: lending them, taking them up after a restart, and saying how others mount them.
#include "libsnapshot/lent.h"

#include <fcntl.h>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

// There is no other Snapshotter than this one (tree_snapshotter.h).
const TreeSnapshotter& trees_of(const Snapshotter& snapshots) { return dynamic_cast<const TreeSnapshotter&>(snapshots); }

Result<std::vector<std::pair<SnapshotId, LentRow>>> lent_rows(ReadTxn& txn) {
  std::vector<std::pair<SnapshotId, LentRow>> rows;
  TRY(txn.scan(lent_table, "", [&](const SnapshotId& id, const LentRow& row) -> Result<base::lmdb::Scan> {
    rows.emplace_back(id, row);
    return base::lmdb::Scan::next;
  }));
  return rows;
}

}  // namespace

Status lend(WriteTxn& txn, const Snapshotter& snapshots, SnapshotId active) {
  return trees_of(snapshots).lend(txn, active);
}

Status end_loan(WriteTxn& txn, SnapshotId lent) {
  TRY(txn.erase(lent_table, lent));
  CRASH_POINT("snapshot.lent.row_gone");
  return {};
}

Result<std::vector<SnapshotId>> lent_trees(ReadTxn& txn) {
  std::vector<SnapshotId> ids;
  for (const auto& [id, row] : TRY(lent_rows(txn))) ids.push_back(id);
  return ids;
}

Result<OutsideMount> mount_outside(Snapshotter& snapshots, const base::HostPath& root, SnapshotId id, Access access) {
  return dynamic_cast<TreeSnapshotter&>(snapshots).mount_outside(root, id, access);
}

Status TreeSnapshotter::lend(WriteTxn& txn, SnapshotId active) const {
  const auto snapshot = live_.lock()->find(active);
  if (!snapshot || !visible(snapshot->phase)) {
    return fail(ErrorCode::not_found, "lend snapshot {}: there is no active one", active);
  }
  if (snapshot->phase != Phase::active || !snapshot->stacked_on.empty()) {
    return fail(ErrorCode::invalid_argument, "lend snapshot {}: it is not an active one with at most one parent", active);
  }
  if (snapshot->parent && !TRY(txn.get_raw(snapshot_table, base::Codec<SnapshotId>::encode(snapshot->parent)))) {
    return fail(ErrorCode::invalid_argument, "lend snapshot {}: its parent {} is not published", active, snapshot->parent);
  }
  TRY(txn.put(lent_table, active, LentRow{snapshot->parent, snapshot->shape, snapshot->created}));
  CRASH_POINT("snapshot.lent.row");
  return {};
}

// What is in an active tree is not synced, nor are its directories: a power cut may have taken them, and the row has stayed.
Status TreeSnapshotter::take_up(SnapshotId id, const Chain* below) const {
  if (!TRY(trees_.exists(id))) TRY(trees_.create(id));
  TRY(driver_->take_up(trees_, id));
  const auto tree = trees_.open_part(id, "fs", O_PATH);
  if (tree) return {};
  if (tree.error().code != ErrorCode::not_found) return tl::unexpected(tree.error());
  base::log_warning("trees/{} was lent and is lost: it is empty now", id);
  return driver_->make(trees_, id, below);
}

Status TreeSnapshotter::take_up_lent() {
  for (const auto& [id, row] : TRY(env_.view([](ReadTxn& txn) { return lent_rows(txn); }), "take up lent trees")) {
    LiveSnapshot snapshot;
    snapshot.parent = row.parent;
    snapshot.shape = row.shape;
    snapshot.created = snapshot.updated = row.created;
    snapshot.phase = Phase::active;
    ChainPtr below;
    if (row.parent) {
      below = TRY(chain_of(row.parent), "take up lent tree {}", id);
      TRY(live_.lock()->pin_parent(row.parent));
    }
    snapshot.chain = stack(id, row.shape == Shape::stacked ? below : nullptr);
    TRY(take_up(id, below.get()), "take up lent tree {}", id);
    ids_.adopt(id);
    live_.lock()->add(id, std::move(snapshot));
  }
  return {};
}

Result<OutsideMount> TreeSnapshotter::mount_outside(const base::HostPath& root, SnapshotId id, Access access) {
  const auto live = live_.lock()->find(id);
  const bool active = live && live->phase == Phase::active;
  if (access == Access::read_write && !active) {
    return fail(ErrorCode::invalid_argument, "mount snapshot {} outside for writing: it is not active", id);
  }
  const auto chain = TRY(chain_of(id), "mount outside");
  OutsideMount mount{.spec = {}, .in_use = mounts_.add(chain)};
  mount.spec = TRY(driver_->mount_outside(trees_, root, *chain, access), "mount snapshot {} outside", id);
  return mount;
}

}  // namespace cairn::snapshot
