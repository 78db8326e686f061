// SPDX-License-Identifier: Apache-2.0
// What the process knows about snapshots that no row names yet, and about flat copies made since the start. This is
// the state behind the lock of TreeSnapshotter; whatever needs the lock is a method here.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <stop_token>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libsnapshot/drivers/driver.h"
#include "libsnapshot/meta/chain.h"
#include "libsnapshot/store/flat_copy.h"
#include "libsnapshot/trees/tree_dirs.h"

namespace cairn::snapshot {

enum class Phase { making, active, freezing, frozen, abandoning, view };

// Whether callers know of a snapshot in this phase.
constexpr bool visible(Phase phase) { return phase != Phase::making && phase != Phase::abandoning; }

struct LiveSnapshot {
  SnapshotId parent;
  std::vector<SnapshotId> stacked_on;  // of a merge, which has no parent
  Phase phase = Phase::making;
  Shape shape = Shape::complete;
  ChainPtr chain;       // its own, itself included
  TreeMeasure measure;  // once frozen
  std::unordered_map<std::uint64_t, SnapshotId> noted;  // inode → the snapshot it was linked from
  std::vector<LinkedInode> linked;                      // of those, what is there; once frozen
  Labels labels;
  base::WallTime created{}, updated{};
  bool synced = false;
  std::shared_ptr<std::atomic<bool>> mounted = std::make_shared<std::atomic<bool>>(false);  // read_write
};

// Whether somebody waits for a piece of work, or it is done in the background.
enum class Haste { caller_waits, none };

class LiveSet {
 public:
  // Adds a child to parent, so that it is not abandoned meanwhile. Errors: not_found, invalid_argument (active).
  // The chain, if the parent is live; null if only a row can tell.
  base::Result<ChainPtr> pin_parent(SnapshotId parent);
  void unpin_parent(SnapshotId parent);
  // The same for what a merge stacks: all of them or none.
  base::Status pin_stack(std::span<const SnapshotId> stacked_on);
  void unpin_stack(std::span<const SnapshotId> stacked_on);
  bool has_children(SnapshotId id) const { return children_.contains(id); }

  void add(SnapshotId id, LiveSnapshot snapshot);
  void remove(SnapshotId id);  // and unpins its parents
  void take_back(SnapshotId id) { live_.erase(id); }  // as if add() had not been called
  std::optional<LiveSnapshot> find(SnapshotId id) const;
  // Drops an abandoned snapshot whose files are still to be erased, which ends with erased(). False, and nothing is
  // done, if `count_max` of them wait for that already.
  bool doom(SnapshotId id, std::size_t count_max);
  std::vector<SnapshotId> doomed() const;  // oldest first
  void erased(SnapshotId id) { doomed_.erase(id); }

  std::vector<SnapshotId> unpublished() const;  // with files: views are left out, doomed ones are there
  std::vector<std::pair<SnapshotId, LiveSnapshot>> everything_visible() const;  // by id

  // Replaces the labels of a visible snapshot; false if there is none.
  bool set_labels(SnapshotId id, const Labels& labels, base::WallTime updated);

  void made(SnapshotId id) { live_.at(id).phase = Phase::active; }
  // Claims the one read_write mount. Errors: not_found, invalid_argument (not active), busy.
  base::Result<LiveSnapshot> begin_mount(SnapshotId id);
  base::Status begin_freeze(SnapshotId id);
  // nullopt: it failed and is active again
  void end_freeze(SnapshotId id, const std::optional<Frozen>& frozen, base::WallTime now);
  // The phase to return to if abandoning fails.
  base::Result<Phase> begin_abandon(SnapshotId id);
  void end_abandon(SnapshotId id, Phase phase) { live_.at(id).phase = phase; }

  // Notes hard links in an active tree. Errors: not_found, invalid_argument.
  base::Status note_links(SnapshotId id, std::span<const HardLink> links);

  // A token for one caller at a time and id, which must call end_flatten; nullopt for others meanwhile. Who is in haste
  // asks one that is not to give up.
  std::optional<std::stop_token> begin_flatten(SnapshotId id, Haste haste);
  void end_flatten(SnapshotId id, const std::optional<FlatCopy>& copy);
  // Asks whoever flattens it to give up. True while somebody does.
  bool stop_flatten(SnapshotId id);
  std::optional<FlatCopy> find_flat(SnapshotId id) const;
  void forget_flat(SnapshotId id) { flats_.erase(id); }

  // What the trees behind these numbers need to be durable.
  struct SyncPlan {
    std::vector<SnapshotId> trees;  // each wholly, flat copies included
    std::vector<SnapshotId> snapshots, flats;  // to be told by synced()
    bool others_active = false;
  };
  SyncPlan plan_sync(std::span<const base::lmdb::DataToken> tokens) const;
  void synced(const SyncPlan& plan);

 private:
  LiveSnapshot* find_mutable(SnapshotId id);

  std::unordered_map<SnapshotId, LiveSnapshot> live_;
  std::set<SnapshotId> doomed_;
  std::unordered_map<SnapshotId, std::uint32_t> children_;  // live children only
  std::unordered_map<SnapshotId, FlatCopy> flats_;          // made by this process
  struct Flattening {
    Haste haste;
    std::stop_source stop;
  };
  std::unordered_map<SnapshotId, Flattening> flattening_;
};

}  // namespace cairn::snapshot
