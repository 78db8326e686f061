// SPDX-License-Identifier: Apache-2.0
// From frozen to committed, and from committed to trash: the steps that are rows. The closures of a transaction do no
// I/O; they take the lock of the live set for a look only.
#include <unordered_set>

#include "libbase/crash_point.h"
#include "libsnapshot/meta/totals.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

// What a merge stacks has rows already, and gets this child.
Status name_stack(base::lmdb::WriteTxn& txn, SnapshotId merge, const std::vector<SnapshotId>& stacked_on) {
  for (const auto id : stacked_on) {
    if (!TRY(txn.get_raw(snapshot_table, base::Codec<SnapshotId>::encode(id)))) {
      return fail(ErrorCode::invalid_argument, "publish snapshot {}: {}, which it stacks, is not published", merge, id);
    }
    TRY(txn.put(child_table, ChildKey{id, merge}, Present{}));
  }
  return {};
}

// Whether a row speaks of it.
base::Result<bool> is_named(base::lmdb::WriteTxn& txn, SnapshotId id) {
  const auto key = base::Codec<SnapshotId>::encode(id);
  if (TRY(txn.get_raw(snapshot_table, key))) return true;
  return TRY(txn.get_raw(trash_table, key)).has_value();
}

}  // namespace

// What comes second says that it shares an inode with the first. If the first were published after, it would count the
// inode once more.
Status TreeSnapshotter::check_links_are_named(base::lmdb::WriteTxn& txn, SnapshotId id,
                                              const std::vector<LinkedInode>& links) const {
  std::unordered_set<SnapshotId> named;
  for (const auto& link : links) {
    if (!named.insert(link.source).second || TRY(is_named(txn, link.source))) continue;
    if (!live_.lock()->find(link.source)) continue;  // abandoned: its files are nobody else's
    return fail(ErrorCode::invalid_argument,
                "publish snapshot {}: it has hard links to files of snapshot {}, which is not published", id, link.source);
  }
  return {};
}

Status TreeSnapshotter::name_flat(base::lmdb::WriteTxn& txn, SnapshotId id, const FlatCopy& copy) const {
  // Its files are durable before this is: whoever names it gives the tree's token with the change, and the writer syncs
  // what tokens stand for before it commits (I1).
  auto row = TRY(txn.get(snapshot_table, id));
  if (!row || row->flattened) return {};
  const Usage shared = TRY(claim_inodes(txn, id, copy.links, exclusive_changed_));
  row = TRY(txn.get(snapshot_table, id));
  TRY(txn.erase(squash_table, id));
  if (!row) return fail(ErrorCode::corrupt, "name the flat copy of snapshot {}: its row is gone", id);
  row->flattened = true;
  row->depth = 1;
  row->flat = copy.usage;
  // What is linked and not shared has no other owner any more.
  row->exclusive += copy.fresh;
  for (const auto& linked : copy.links) row->exclusive += linked.usage;
  row->exclusive -= shared;
  TRY(put_snapshot(txn, id, *row));
  return exclusive_changed_ ? exclusive_changed_(txn, info_of(id, *row)) : Status();
}

Status TreeSnapshotter::publish(base::lmdb::WriteTxn& txn, SnapshotId frozen) const {
  const auto [snapshot, own_flat, parent_flat] = [&] {
    auto live = live_.lock();
    auto found = live->find(frozen);
    auto parent = found ? live->find_flat(found->parent) : std::nullopt;
    return std::tuple(std::move(found), live->find_flat(frozen), parent);
  }();
  if (!snapshot) return fail(ErrorCode::not_found, "publish snapshot {}: there is no frozen one", frozen);
  if (snapshot->phase != Phase::frozen) {
    return fail(ErrorCode::invalid_argument, "publish snapshot {}: it is not frozen", frozen);
  }
  if (snapshot->parent) {
    auto parent = TRY(txn.get(snapshot_table, snapshot->parent));
    if (!parent) {
      return fail(ErrorCode::invalid_argument, "publish snapshot {}: its parent {} is not published", frozen,
                  snapshot->parent);
    }
    // The child may stack on the parent's flat copy, so the two become visible together.
    if (parent_flat && !parent->flattened) TRY(name_flat(txn, snapshot->parent, *parent_flat));
    TRY(txn.put(child_table, ChildKey{snapshot->parent, frozen}, Present{}));
  }
  TRY(name_stack(txn, frozen, snapshot->stacked_on));
  SnapshotRow row{.parent = snapshot->parent,
                  .stacked_on = snapshot->stacked_on,
                  .usage = snapshot->measure.usage,
                  .flat = {},
                  .exclusive = snapshot->measure.usage,
                  .depth = snapshot->chain->depth,
                  .shape = snapshot->shape,
                  .flattened = false,
                  .marks = snapshot->measure.marks,
                  .created = snapshot->created,
                  .updated = snapshot->updated,
                  .labels = snapshot->labels};
  TRY(check_links_are_named(txn, frozen, snapshot->linked));
  row.exclusive -= TRY(claim_inodes(txn, frozen, snapshot->linked, exclusive_changed_), "publish snapshot {}", frozen);
  TRY(put_snapshot(txn, frozen, row));
  TRY(txn.erase(lent_table, frozen));
  if (own_flat) TRY(name_flat(txn, frozen, *own_flat));
  CRASH_POINT("snapshot.publish.row");
  return {};
}

void TreeSnapshotter::published(SnapshotId id) {
  const auto snapshot = live_.lock()->find(id);
  CHECK(snapshot && snapshot->phase == Phase::frozen, "snapshot {} was published without being frozen", id);
  const bool deep = snapshot->chain->depth > squash_depth_;
  if (!deep) chains_.remember(id, snapshot->chain);
  live_.lock()->remove(id);
  ids_.settle(id);
  if (deep) housekeeper_.squash_soon(id);  // the next look at its chain finds what has been squashed by then
}

Status TreeSnapshotter::sync(std::span<const base::lmdb::DataToken> tokens) {
  const auto plan = live_.lock()->plan_sync(tokens);
  if (plan.trees.empty()) return {};
  if (plan.others_active) {
    // A running step may have gigabytes of dirty pages that nobody needs on disk.
    auto one_by_one = [&]() -> Status {
      for (const auto id : plan.trees) TRY(trees_.sync_tree(id));
      return trees_.sync_names();
    }();
    // With no descriptor to spare the files cannot be opened. That has lost nothing, and the file system can be synced
    // through the descriptor that we keep.
    if (!one_by_one && one_by_one.error().code == ErrorCode::busy) one_by_one = trees_.sync_all();
    TRY(std::move(one_by_one));
  } else {
    TRY(trees_.sync_all());
  }
  live_.lock()->synced(plan);
  CRASH_POINT("snapshot.sync.done");
  return {};
}

Status TreeSnapshotter::retire(base::lmdb::WriteTxn& txn, SnapshotId committed) const {
  const auto row = TRY(txn.get(snapshot_table, committed));
  if (!row) return fail(ErrorCode::not_found, "retire snapshot {}: there is none", committed);
  const auto [live_children, copy] = [&] {
    auto live = live_.lock();
    return std::pair(live->has_children(committed), live->find_flat(committed));
  }();
  bool has_children = live_children;
  TRY(txn.scan_raw(child_table, base::Codec<SnapshotId>::encode(committed), {},
                   [&](std::string_view, std::string_view) -> base::Result<base::lmdb::Scan> {
                     has_children = true;
                     return base::lmdb::Scan::stop;
                   }));
  if (has_children) {
    return fail(ErrorCode::invalid_argument, "retire snapshot {}: others are built on it", committed);
  }
  TrashRow trash{row->exclusive};
  if (copy && !row->flattened) trash.usage += copy->fresh;
  for (const auto parent : row->parents()) TRY(txn.erase(child_table, ChildKey{parent, committed}));
  TRY(txn.erase(squash_table, committed));
  TRY(erase_snapshot(txn, committed));
  TRY(put_trash(txn, committed, trash));
  CRASH_POINT("snapshot.retire.row");
  return {};
}

}  // namespace cairn::snapshot
