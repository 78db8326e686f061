// SPDX-License-Identifier: Apache-2.0
// Where the files of a mounted tree really lie: in which layer, so that they can be linked or cloned, which no mount lets
// one do.
#pragma once

#include <optional>
#include <vector>

#include "libsnapshot/changes.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

class Sources {
 public:
  // Of a frozen or committed snapshot. Looks into the 64 nearest layers only. Errors: not_found, io.
  static base::Result<Sources> open(Snapshotter& snapshots, SnapshotId id);

  struct Place {
    base::Fd holder;  // O_PATH, of the directory that has the file
    SnapshotId snapshot;
  };
  // Of the file that a change of this snapshot is about; nullopt if it lies deeper. O(layers).
  base::Result<std::optional<Place>> find(const Change& change) const;

 private:
  struct Layer {
    SnapshotId id;
    base::Fd directory;
  };
  std::vector<Layer> layers_;  // nearest first
};

}  // namespace cairn::snapshot
