// SPDX-License-Identifier: Apache-2.0
// The one Snapshotter there is: ids, rows, the live set, freezing, publishing, erasing and recovery, with a driver for
// what differs. Its lock guards memory only and is never held across I/O.
#pragma once

#include <condition_variable>
#include <memory>
#include <mutex>

#include "libsnapshot/drivers/driver.h"
#include "libsnapshot/lent.h"
#include "libsnapshot/meta/chain.h"
#include "libsnapshot/meta/id_pool.h"
#include "libsnapshot/snapshotter.h"
#include "libsnapshot/store/housekeeper.h"
#include "libsnapshot/store/live_mounts.h"
#include "libsnapshot/store/live_set.h"
#include "libsnapshot/trees/tree_dirs.h"

namespace cairn::snapshot {

// See OpenOptions.
struct SquashRules {
  unsigned chain_max;
  unsigned squash_depth;
  std::chrono::milliseconds quiet, patience;
};

class TreeSnapshotter final : public Snapshotter {
 public:
  // dead_blocks: those that recover() has cleaned up.
  TreeSnapshotter(TreeDirs trees, base::lmdb::Env& env, std::unique_ptr<Driver> driver, const base::Clock& clock,
                  const SquashRules& rules, std::vector<std::uint64_t> dead_blocks);
  ~TreeSnapshotter() override { stop(); }

  std::string_view driver() const override { return driver_->name(); }
  using Snapshotter::prepare;
  using Snapshotter::prepare_stack;
  base::Result<SnapshotId> prepare(std::optional<SnapshotId> parent, const Labels& labels) override;
  base::Result<SnapshotId> prepare_stack(std::span<const SnapshotId> nearest_first, const Labels& labels) override;
  base::Result<SnapshotId> view(SnapshotId parent, const Labels& labels) override;
  base::Result<MountedTree> mount(SnapshotId id, Access access) override;
  base::Result<Usage> freeze(SnapshotId active) override;
  base::Status note_links(SnapshotId active, std::span<const HardLink> links) override;
  base::Status publish(base::lmdb::WriteTxn& txn, SnapshotId frozen) const override;
  void published(SnapshotId id) override;
  base::Status sync(std::span<const base::lmdb::DataToken> tokens) override;
  base::Status abandon(SnapshotId id) override;
  base::Status retire(base::lmdb::WriteTxn& txn, SnapshotId committed) const override;
  base::Result<std::int64_t> erase_trash(base::lmdb::GroupWriter& writer, std::stop_token stop) override;
  base::Status squash(SnapshotId id, base::lmdb::GroupWriter& writer, std::stop_token stop) override;
  void start(base::lmdb::GroupWriter& writer) override;
  void stop() override;
  void retired(SnapshotId id) override;
  void settle() override;
  base::Result<SnapshotInfo> stat(SnapshotId id) override;
  base::Result<Usage> usage(SnapshotId id) override;
  base::Status walk(std::span<const std::string> filters,
                    const std::function<base::Result<base::lmdb::Scan>(const SnapshotInfo&)>& visit) override;
  base::Result<SnapshotInfo> update(SnapshotId id, const Labels& labels, std::span<const std::string> fields,
                                    base::lmdb::GroupWriter& writer) override;
  std::vector<SnapshotId> unpublished() const override;
  base::Result<SnapshotId> reserve_id() override;
  void on_exclusive_change(ExclusiveChanged changed) override { exclusive_changed_ = std::move(changed); }
  base::Result<OwnDirectory> open_own(SnapshotId id) override;
  base::Result<std::function<bool(const base::TreePath&)>> candidates(SnapshotId lower, SnapshotId upper) override;

  // See lent.h.
  base::Status lend(base::lmdb::WriteTxn& txn, SnapshotId active) const;
  base::Result<OutsideMount> mount_outside(const base::HostPath& root, SnapshotId id, Access access);
  // Once, before anything else: what an earlier owner has lent is active again.
  base::Status take_up_lent();

 private:
  // snapshot: its parents, which are pinned. chain: what it lies on.
  base::Result<SnapshotId> make(LiveSnapshot snapshot, ChainPtr chain);
  base::Status check_stackable(SnapshotId id);
  SnapshotInfo info_of_live(SnapshotId id, const LiveSnapshot& live) const;
  base::Result<ChainPtr> chain_of(SnapshotId id);
  // The chain of the flat copy, made by this thread or another.
  base::Result<ChainPtr> flatten(SnapshotId id, const Chain& chain, Haste haste, IfMounted if_mounted,
                                 const std::stop_token& stop);
  base::Status forget_flattening(SnapshotId id);
  SnapshotId lowest_deep(SnapshotId id, const Chain& chain);
  base::Status squash(SnapshotId id, base::lmdb::GroupWriter& writer, Haste haste, IfMounted if_mounted,
                      const std::stop_token& stop);
  Squashed squash_in_background(SnapshotId id, base::lmdb::GroupWriter& writer, Patience patience,
                                const std::stop_token& stop);
  std::vector<SnapshotId> find_deep(std::size_t count_max);
  void erase_in_background(base::lmdb::GroupWriter& writer, const std::stop_token& stop);
  base::Status check_links_are_named(base::lmdb::WriteTxn& txn, SnapshotId id, const std::vector<LinkedInode>& links) const;
  base::Status name_flat(base::lmdb::WriteTxn& txn, SnapshotId id, const FlatCopy& copy) const;
  base::Result<std::int64_t> erase_all(base::lmdb::GroupWriter& writer, const std::stop_token& stop);
  void erase_doomed(const std::stop_token& stop);
  void erase_taken(const std::stop_token& stop);
  void erase_taken_soon();
  base::Status erase_tree(base::lmdb::GroupWriter& writer, SnapshotId id, const std::stop_token& stop);
  base::Result<MountedTree> mount_for_writing(SnapshotId id);
  base::Status take_up(SnapshotId id, const Chain* below) const;

  TreeDirs trees_;
  base::lmdb::Env& env_;
  std::unique_ptr<Driver> driver_;
  const base::Clock& clock_;
  const unsigned chain_max_, squash_depth_;
  const std::chrono::milliseconds squash_quiet_, squash_patience_;
  IdPool ids_;
  ChainCache chains_;
  mutable base::Guarded<LiveSet> live_;
  std::condition_variable_any flattened_;
  LiveMounts mounts_;
  std::mutex erase_turn_;  // nothing: the turn of one erasure of the trash
  base::Guarded<std::stop_source> background_erase_{std::nostopstate};
  ExclusiveChanged exclusive_changed_;
  Housekeeper housekeeper_;
};

// Erases the trees and flat copies of dead owners that no row names (I6), and returns the blocks of ids that it looked through.
base::Result<std::vector<std::uint64_t>> recover(const TreeDirs& trees, base::lmdb::Env& env);

}  // namespace cairn::snapshot
