// SPDX-License-Identifier: Apache-2.0
// What the store tells diffs and merges of how trees lie on disk.
#include <fcntl.h>

#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {

base::Result<OwnDirectory> TreeSnapshotter::open_own(SnapshotId id) {
  OwnDirectory own;
  if (const auto live = live_.lock()->find(id); live && visible(live->phase)) {
    own.stacked = live->shape == Shape::stacked;
  } else {
    const auto row = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return txn.get(snapshot_table, id); }));
    if (!row) return base::fail(base::ErrorCode::not_found, "snapshot {}: there is none", id);
    own.stacked = row->shape == Shape::stacked;
  }
  own.directory = TRY(trees_.open_part(id, directory_name(Layer::changes), O_RDONLY), "snapshot {}", id);
  return own;
}

base::Result<std::function<bool(const base::TreePath&)>> TreeSnapshotter::candidates(SnapshotId lower,
                                                                                     SnapshotId upper) {
  return driver_->candidates(trees_, lower, upper);
}

}  // namespace cairn::snapshot
