// SPDX-License-Identifier: Apache-2.0
// Which layers lie between a snapshot and one that it was made on.
#pragma once

#include <optional>
#include <vector>

#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// The snapshots whose own changes, stacked on a mount of `lower` (none: on nothing), make a mount of `upper`; nearest to
// upper first. Nullopt if lower is not below upper, if some tree between them is complete (with lower none: has a parent
// and is complete), or if there are more than layers_max. Flat copies do not matter: they are for mounting only.
// O(layers). Errors: not_found, corrupt.
base::Result<std::optional<std::vector<SnapshotId>>> layers_above(Snapshotter& snapshots,
                                                                  std::optional<SnapshotId> lower, SnapshotId upper,
                                                                  std::size_t layers_max);

}  // namespace cairn::snapshot
