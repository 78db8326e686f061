// SPDX-License-Identifier: Apache-2.0
// Whether a merge can be made by laying layers on one another, and how.
#pragma once

#include <optional>
#include <span>
#include <stop_token>
#include <vector>

#include "libsnapshot/merge.h"

namespace cairn::snapshot {

struct StackPlan {
  std::vector<SnapshotId> layers;          // nearest first
  // Directories that hold a whiteout. The kernel hides whiteouts only where layers meet, so each is made to meet one.
  std::vector<base::TreePath> whiteouts_in;
};

// The layers that show what the deltas make of base (none: of nothing); nullopt if some delta has no layers of its own, or
// has one that would show something else here than in its own tree. O(changes of the deltas).
base::Result<std::optional<StackPlan>> plan_stack(Snapshotter& snapshots, std::optional<SnapshotId> base,
                                                  std::span<const Delta> deltas, std::stop_token stop);

// A new frozen snapshot of that plan, with the root of base; nullopt if the driver refuses to stack these.
base::Result<std::optional<SnapshotId>> make_stack(Snapshotter& snapshots, std::optional<SnapshotId> base,
                                                   const StackPlan& plan);

// Gives the directory the metadata of base's root; without base those of an empty tree.
base::Status set_root(Snapshotter& snapshots, std::optional<SnapshotId> base, int directory);

}  // namespace cairn::snapshot
