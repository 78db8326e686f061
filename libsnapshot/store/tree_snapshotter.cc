// SPDX-License-Identifier: Apache-2.0
// The life of a snapshot up to the point where it has a row; rows are in publish.cc, the end in erase.cc.
#include "libsnapshot/store/tree_snapshotter.h"

#include <fcntl.h>

#include <unordered_set>
#include <utility>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;

// What a MountedTree holds besides its directory: the mount itself, and the claim on being the only writer.
struct MountHold {
  std::shared_ptr<void> layers;  // kept from being linked to until the mount is gone
  base::Fd mount;
  std::shared_ptr<std::atomic<bool>> mounted;

  MountHold(std::shared_ptr<void> used, base::Fd fd, std::shared_ptr<std::atomic<bool>> flag)
      : layers(std::move(used)), mount(std::move(fd)), mounted(std::move(flag)) {}
  MountHold(const MountHold&) = delete;
  MountHold& operator=(const MountHold&) = delete;
  ~MountHold() {
    mount.reset();
    if (mounted) mounted->store(false);
  }
};

MountedTree mounted_tree(DetachedMount mount, std::shared_ptr<void> layers, std::shared_ptr<std::atomic<bool>> flag) {
  return MountedTree(std::move(mount.directory),
                     std::make_shared<MountHold>(std::move(layers), std::move(mount.mount), std::move(flag)));
}

}  // namespace

TreeSnapshotter::TreeSnapshotter(TreeDirs trees, base::lmdb::Env& env, std::unique_ptr<Driver> driver,
                                 const base::Clock& clock, const SquashRules& rules, std::vector<std::uint64_t> dead_blocks)
    : trees_(std::move(trees)),
      env_(env),
      driver_(std::move(driver)),
      clock_(clock),
      chain_max_(rules.chain_max),
      squash_depth_(rules.squash_depth),
      squash_quiet_(rules.quiet),
      squash_patience_(rules.patience),
      ids_(env, std::move(dead_blocks), [this] { return trees_.sync_names(); }),
      chains_(env),
      mounts_(rules.quiet) {}

base::Result<ChainPtr> TreeSnapshotter::chain_of(SnapshotId id) {
  if (const auto live = live_.lock()->find(id); live && visible(live->phase)) return live->chain;
  auto chain = TRY(chains_.get(id));
  // The cache may have forgotten a flat copy that no row names yet.
  if (chain->layer != Layer::flat && live_.lock()->find_flat(id)) chain = flat(id);
  return chain;
}

base::Result<SnapshotId> TreeSnapshotter::prepare(std::optional<SnapshotId> parent, const Labels& labels) {
  TRY(check_labels(labels), "prepare");
  LiveSnapshot snapshot;
  snapshot.labels = labels;
  if (!parent) return make(std::move(snapshot), nullptr);
  ChainPtr chain = TRY(live_.lock()->pin_parent(*parent));
  const auto with_parent = [&]() -> base::Result<SnapshotId> {
    if (!chain) chain = TRY(chain_of(*parent), "prepare");
    const bool too_deep = chain->depth > chain_max_;
    if (too_deep) chain = TRY(flatten(*parent, *chain, Haste::caller_waits, IfMounted::copy, {}));
    snapshot.parent = *parent;
    snapshot.shape = driver_->shape();
    return make(std::move(snapshot), chain);
  };
  auto id = with_parent();
  if (!id) live_.lock()->unpin_parent(*parent);
  return id;
}

base::Result<SnapshotId> TreeSnapshotter::prepare_stack(std::span<const SnapshotId> nearest_first,
                                                         const Labels& labels) {
  TRY(check_labels(labels), "stack snapshots");
  if (driver_->shape() != Shape::stacked) {
    return fail(ErrorCode::unavailable, "stack snapshots: the {} driver cannot", driver_->name());
  }
  if (nearest_first.empty() || nearest_first.size() > chain_max_) {
    return fail(ErrorCode::invalid_argument, "stack snapshots: {} of them, not 1 to {}", nearest_first.size(),
                chain_max_);
  }
  std::unordered_set<SnapshotId> seen;
  for (const auto id : nearest_first) {
    if (!seen.insert(id).second) return fail(ErrorCode::invalid_argument, "stack snapshots: {} is there twice", id);
  }
  TRY(live_.lock()->pin_stack(nearest_first), "stack snapshots");
  const auto on_stack = [&]() -> base::Result<SnapshotId> {
    for (const auto id : nearest_first) TRY(check_stackable(id), "stack snapshots");
    LiveSnapshot snapshot;
    snapshot.stacked_on.assign(nearest_first.begin(), nearest_first.end());
    snapshot.shape = Shape::stacked;
    snapshot.labels = labels;
    return make(std::move(snapshot), stack_all(nearest_first));
  };
  auto id = on_stack();
  if (!id) live_.lock()->unpin_stack(nearest_first);
  return id;
}

base::Result<SnapshotId> TreeSnapshotter::view(SnapshotId parent, const Labels& labels) {
  TRY(check_labels(labels), "view");
  ChainPtr chain = TRY(live_.lock()->pin_parent(parent));
  const auto with_parent = [&]() -> base::Result<SnapshotId> {
    LiveSnapshot snapshot;
    snapshot.parent = parent;
    snapshot.phase = Phase::view;
    snapshot.labels = labels;
    snapshot.chain = chain ? chain : TRY(chain_of(parent), "view");
    snapshot.created = snapshot.updated = clock_.now();
    const SnapshotId id = TRY(ids_.next());
    live_.lock()->add(id, std::move(snapshot));
    return id;
  };
  auto id = with_parent();
  if (!id) live_.lock()->unpin_parent(parent);
  return id;
}

Status TreeSnapshotter::check_stackable(SnapshotId id) {
  bool alone = false;
  if (const auto live = live_.lock()->find(id); live && visible(live->phase)) {
    alone = live->shape == Shape::stacked || !live->parent;
  } else {
    const auto row = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return txn.get(snapshot_table, id); }));
    if (!row) return fail(ErrorCode::not_found, "snapshot {}: there is none", id);
    alone = row->shape == Shape::stacked || !row->parent;
  }
  if (alone) return {};
  return fail(ErrorCode::invalid_argument, "snapshot {}: its tree is complete, and what changed in it is not apart", id);
}

base::Result<SnapshotId> TreeSnapshotter::make(LiveSnapshot snapshot, ChainPtr chain) {
  const SnapshotId id = TRY(ids_.next());
  snapshot.chain = stack(id, snapshot.shape == Shape::stacked ? chain : nullptr);
  snapshot.created = snapshot.updated = clock_.now();
  live_.lock()->add(id, std::move(snapshot));

  const auto make_tree = [&]() -> Status {
    TRY(trees_.create(id));
    CRASH_POINT("snapshot.prepare.made_tree");
    TRY(driver_->make(trees_, id, chain.get()));
    CRASH_POINT("snapshot.prepare.made_dirs");
    return {};
  };
  if (const auto made = make_tree(); !made) {
    const auto erased = trees_.erase(id);
    if (erased) ids_.settle(id);  // else its block stays, and recovery looks at it
    if (!erased) base::log_warning("{}", erased.error().message);
    live_.lock()->take_back(id);
    return tl::unexpected(made.error());
  }
  live_.lock()->made(id);
  return id;
}

base::Result<MountedTree> TreeSnapshotter::mount(SnapshotId id, Access access) {
  if (access == Access::read_write) return mount_for_writing(id);
  const auto chain = TRY(chain_of(id), "mount");
  auto layers = mounts_.add(chain);
  auto mount = TRY(driver_->mount(trees_, *chain, access), "mount snapshot {}", id);
  return mounted_tree(std::move(mount), std::move(layers), nullptr);
}

base::Result<MountedTree> TreeSnapshotter::mount_for_writing(SnapshotId id) {
  auto snapshot = live_.lock()->begin_mount(id);
  if (!snapshot) {
    // A committed snapshot exists, but not for writing.
    if (snapshot.error().code == ErrorCode::not_found && chains_.get(id)) {
      return fail(ErrorCode::invalid_argument, "mount snapshot {} for writing: it is committed", id);
    }
    return tl::unexpected(snapshot.error());
  }
  auto layers = mounts_.add(snapshot->chain);
  auto mount = driver_->mount(trees_, *snapshot->chain, Access::read_write);
  if (!mount) {
    snapshot->mounted->store(false);
    return tl::unexpected(base::add_context(mount.error(), fmt::format("mount snapshot {} for writing", id)));
  }
  return mounted_tree(std::move(*mount), std::move(layers), snapshot->mounted);
}

Status TreeSnapshotter::note_links(SnapshotId active, std::span<const HardLink> links) {
  return live_.lock()->note_links(active, links);
}

base::Result<Usage> TreeSnapshotter::freeze(SnapshotId active) {
  if (const auto begun = live_.lock()->begin_freeze(active); !begun) {
    if (begun.error().code == ErrorCode::not_found && chains_.get(active)) {
      return fail(ErrorCode::invalid_argument, "freeze snapshot {}: it is committed", active);
    }
    return tl::unexpected(begun.error());
  }
  const auto frozen = driver_->freeze(trees_, active);
  live_.lock()->end_freeze(active, frozen ? std::optional(*frozen) : std::nullopt, clock_.now());
  CRASH_POINT("snapshot.freeze.done");
  erase_taken_soon();
  return frozen.map([](const Frozen& done) { return done.measure.usage; });
}

std::vector<SnapshotId> TreeSnapshotter::unpublished() const { return live_.lock()->unpublished(); }

}  // namespace cairn::snapshot
