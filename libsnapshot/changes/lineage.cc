// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/changes/lineage.h"

#include <algorithm>

namespace cairn::snapshot {
namespace {

struct Stacked {
  std::vector<SnapshotId> layers;  // nearest first
  bool whole = true;               // they are all there is: the last one has a complete tree of its own, or is a merge's
};

// From `from` downwards, to `stop` (which is not taken) or the end.
base::Result<std::optional<Stacked>> descend(Snapshotter& snapshots, SnapshotId from, std::optional<SnapshotId> stop,
                                             std::size_t layers_max) {
  Stacked found;
  for (SnapshotId current = from; current != stop;) {
    if (found.layers.size() == layers_max) return std::nullopt;
    const auto info = TRY(snapshots.stat(current));
    const auto own = TRY(snapshots.open_own(current));
    if (!own.stacked && info.parent) return std::nullopt;
    found.layers.push_back(current);
    found.layers.insert(found.layers.end(), info.stacked_on.begin(), info.stacked_on.end());
    if (found.layers.size() > layers_max) return std::nullopt;
    if (!own.stacked || !info.stacked_on.empty()) return found;
    current = info.parent;
  }
  found.whole = false;
  return found;
}

}  // namespace

base::Result<std::optional<std::vector<SnapshotId>>> layers_above(Snapshotter& snapshots,
                                                                  std::optional<SnapshotId> lower, SnapshotId upper,
                                                                  std::size_t layers_max) {
  auto above = TRY(descend(snapshots, upper, lower, layers_max));
  if (!above) return std::nullopt;
  if (!lower || !above->whole) return std::move(above->layers);
  // Down to the end without meeting it: a merge may have stacked the same layers.
  const auto below = TRY(descend(snapshots, *lower, std::nullopt, layers_max));
  if (!below || below->layers.size() > above->layers.size()) return std::nullopt;
  const auto tail = above->layers.end() - static_cast<std::ptrdiff_t>(below->layers.size());
  if (!std::equal(tail, above->layers.end(), below->layers.begin())) return std::nullopt;
  above->layers.erase(tail, above->layers.end());
  return std::move(above->layers);
}

}  // namespace cairn::snapshot
