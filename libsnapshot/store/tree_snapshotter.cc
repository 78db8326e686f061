// SPDX-License-Identifier: Apache-2.0
// The life of a snapshot up to the point where it has a row; rows are in publish.cc, the end in erase.cc.
#include "libsnapshot/store/tree_snapshotter.h"

#include <fcntl.h>

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
  base::Fd mount;
  std::shared_ptr<std::atomic<bool>> mounted;

  MountHold(base::Fd fd, std::shared_ptr<std::atomic<bool>> flag) : mount(std::move(fd)), mounted(std::move(flag)) {}
  MountHold(const MountHold&) = delete;
  MountHold& operator=(const MountHold&) = delete;
  ~MountHold() {
    mount.reset();
    if (mounted) mounted->store(false);
  }
};

MountedTree mounted_tree(DetachedMount mount, std::shared_ptr<std::atomic<bool>> flag) {
  return MountedTree(std::move(mount.directory), std::make_shared<MountHold>(std::move(mount.mount), std::move(flag)));
}

}  // namespace

TreeSnapshotter::TreeSnapshotter(TreeDirs trees, base::lmdb::Env& env, std::unique_ptr<Driver> driver,
                                 unsigned chain_max, std::vector<std::uint64_t> dead_blocks)
    : trees_(std::move(trees)),
      env_(env),
      driver_(std::move(driver)),
      chain_max_(chain_max),
      ids_(env, std::move(dead_blocks)),
      chains_(env) {}

base::Result<ChainPtr> TreeSnapshotter::chain_of(SnapshotId id) {
  if (const auto live = live_.lock()->find(id); live && visible(live->phase)) return live->chain;
  auto chain = TRY(chains_.get(id));
  // The cache may have forgotten a flat copy that no row names yet.
  if (chain->layer != Layer::flat && live_.lock()->find_flat(id)) chain = flat(id);
  return chain;
}

base::Result<SnapshotId> TreeSnapshotter::prepare(std::optional<SnapshotId> parent) {
  if (!parent) return prepare_on(SnapshotId(), nullptr);
  ChainPtr chain = TRY(live_.lock()->pin_parent(*parent));
  const auto with_parent = [&]() -> base::Result<SnapshotId> {
    if (!chain) chain = TRY(chain_of(*parent), "prepare");
    if (chain->depth > chain_max_) chain = TRY(flatten(*parent, *chain));
    return prepare_on(*parent, chain);
  };
  auto id = with_parent();
  if (!id) live_.lock()->unpin_parent(*parent);
  return id;
}

base::Result<SnapshotId> TreeSnapshotter::prepare_on(SnapshotId parent, ChainPtr chain) {
  const SnapshotId id = TRY(ids_.next());
  LiveSnapshot snapshot;
  snapshot.parent = parent;
  snapshot.shape = parent ? driver_->shape() : Shape::complete;
  snapshot.chain = stack(id, snapshot.shape == Shape::stacked ? chain : nullptr);
  live_.lock()->add(id, std::move(snapshot));

  const auto make = [&]() -> Status {
    TRY(trees_.create(id));
    CRASH_POINT("snapshot.prepare.made_tree");
    TRY(driver_->make(trees_, id, chain.get()));
    CRASH_POINT("snapshot.prepare.made_dirs");
    return {};
  };
  if (const auto made = make(); !made) {
    const auto erased = trees_.erase(id);
    if (erased) ids_.settle(id);  // else its block stays, and recovery looks at it
    if (!erased) base::log_warning("{}", erased.error().message);
    live_.lock()->take_back(id);
    return tl::unexpected(made.error());
  }
  live_.lock()->made(id);
  return id;
}

base::Result<ChainPtr> TreeSnapshotter::flatten(SnapshotId id, const Chain& chain) {
  {
    auto live = live_.lock();
    while (!live->find_flat(id)) {
      if (live->begin_flatten(id)) break;
      flattened_.wait(live.lock());
    }
    if (live->find_flat(id)) return flat(id);
  }
  const auto usage = make_flat(id, chain);
  {
    auto live = live_.lock();
    live->end_flatten(id, usage ? std::optional<Usage>(*usage) : std::nullopt);
    flattened_.notify_all();
  }
  if (!usage) return tl::unexpected(base::add_context(usage.error(), fmt::format("flatten snapshot {}", id)));
  chains_.forget(id);
  return flat(id);
}

base::Result<Usage> TreeSnapshotter::make_flat(SnapshotId id, const Chain& chain) {
  // What is there is the work of an owner that died before a row could name it.
  TRY(trees_.erase_part(id, "flat.tmp"));
  TRY(trees_.erase_part(id, "flat"));
  TRY(copy_merged(*driver_, trees_, chain, id, "flat.tmp"));
  CRASH_POINT("snapshot.flatten.copied");
  TRY(trees_.rename_part(id, "flat.tmp", "flat"));
  CRASH_POINT("snapshot.flatten.renamed");
  return trees_.measure_part(id, "flat");
}

base::Result<MountedTree> TreeSnapshotter::mount(SnapshotId id, Access access) {
  if (access == Access::read_write) return mount_for_writing(id);
  const auto chain = TRY(chain_of(id), "mount");
  return mounted_tree(TRY(driver_->mount(trees_, *chain, access), "mount snapshot {}", id), nullptr);
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
  auto mount = driver_->mount(trees_, *snapshot->chain, Access::read_write);
  if (!mount) {
    snapshot->mounted->store(false);
    return tl::unexpected(base::add_context(mount.error(), fmt::format("mount snapshot {} for writing", id)));
  }
  return mounted_tree(std::move(*mount), snapshot->mounted);
}

base::Result<Usage> TreeSnapshotter::freeze(SnapshotId active) {
  if (const auto begun = live_.lock()->begin_freeze(active); !begun) {
    if (begun.error().code == ErrorCode::not_found && chains_.get(active)) {
      return fail(ErrorCode::invalid_argument, "freeze snapshot {}: it is committed", active);
    }
    return tl::unexpected(begun.error());
  }
  const auto measure = [&]() -> base::Result<Usage> {
    TRY(trees_.erase_part(active, "work"), "freeze");
    return trees_.measure(active);
  };
  const auto usage = measure();
  live_.lock()->end_freeze(active, usage ? std::optional<Usage>(*usage) : std::nullopt);
  CRASH_POINT("snapshot.freeze.done");
  return usage;
}

base::Result<SnapshotInfo> TreeSnapshotter::stat(SnapshotId id) {
  const auto [live, copy] = [&] {
    auto set = live_.lock();
    return std::pair(set->find(id), set->find_flat(id));
  }();
  SnapshotInfo about;
  if (live && visible(live->phase)) {
    about = SnapshotInfo{.id = id,
                         .parent = live->parent,
                         .kind = live->phase == Phase::frozen ? Kind::frozen : Kind::active,
                         .usage = live->usage,
                         .depth = live->chain->depth,
                         .flattened = false};
  } else {
    const auto row = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return find_snapshot(txn, id); }));
    if (!row) return fail(ErrorCode::not_found, "snapshot {}: there is none", id);
    about = *row;
  }
  if (copy && !about.flattened) {
    about.flattened = true;
    about.depth = 1;
    about.usage.bytes += copy->usage.bytes;
    about.usage.inodes += copy->usage.inodes;
  }
  return about;
}

std::vector<SnapshotId> TreeSnapshotter::unpublished() const { return live_.lock()->unpublished(); }

}  // namespace cairn::snapshot
