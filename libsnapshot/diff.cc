// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/diff.h"

#include "libsnapshot/changes/applier.h"
#include "libsnapshot/changes/layered_walk.h"
#include "libsnapshot/changes/lineage.h"

namespace cairn::snapshot {
namespace {

using base::Status;

constexpr std::size_t layers_max = 64;  // each takes two descriptors

Status check_unwritable(Snapshotter& snapshots, SnapshotId id) {
  if (TRY(snapshots.stat(id)).kind != Kind::active) return {};
  return base::fail(base::ErrorCode::invalid_argument, "snapshot {} is active", id);
}

Status visit(Snapshotter& snapshots, std::optional<SnapshotId> lower, SnapshotId upper, const ChangeVisitor& visitor,
             const ChangeOptions& options, Way way) {
  TRY(check_unwritable(snapshots, upper));
  const auto above = TRY(snapshots.mount(upper, Access::read_only));
  if (!lower) return changes_between(std::nullopt, above.fd(), visitor, options);
  TRY(check_unwritable(snapshots, *lower));
  const auto below = TRY(snapshots.mount(*lower, Access::read_only));
  if (way == Way::walk) return changes_between(below.fd(), above.fd(), visitor, options);

  if (const auto layers = TRY(layers_above(snapshots, lower, upper, layers_max))) {
    std::vector<base::Fd> own;
    std::vector<int> directories;
    for (const SnapshotId id : *layers) {
      own.push_back(std::move(TRY(snapshots.open_own(id)).directory));
      directories.push_back(own.back().get());
    }
    if (directories.empty()) return {};  // a snapshot and itself
    return changes_in_layers(below.fd(), above.fd(), directories, visitor, options);
  }
  ChangeOptions narrowed = options;
  if (!narrowed.may_differ) narrowed.may_differ = TRY(snapshots.candidates(*lower, upper));
  return changes_between(below.fd(), above.fd(), visitor, narrowed);
}

}  // namespace

Status diff(Snapshotter& snapshots, std::optional<SnapshotId> lower, SnapshotId upper, const ChangeVisitor& visitor,
            const ChangeOptions& options, Way way) {
  if (!lower) {
    TRY(visit(snapshots, lower, upper, visitor, options, way), "read what is in snapshot {}", upper);
  } else {
    TRY(visit(snapshots, lower, upper, visitor, options, way), "compare snapshots {} and {}", *lower, upper);
  }
  return {};
}

Status apply_changes(const MountedTree& target, const ChangeSource& changes) {
  ChangeApplier applier(target.fd(), {});
  TRY(changes([&](const Change& change) { return applier.apply(change); }));
  return applier.finish();
}

}  // namespace cairn::snapshot
