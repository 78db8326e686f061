// SPDX-License-Identifier: Apache-2.0
// The directories of the snapshots on disk: <root>/trees/<id>/ holds fs/ (the tree, or what changed in it), work/ (only
// while an overlay is active) and flat/ (a flat copy of the whole tree, only of deep chains). Which of them count is
// said by rows alone; nothing here decides. fs/ may be a subvolume of btrfs, whichever driver is in use today.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <stop_token>
#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// What one walk of a tree finds out.
struct TreeMeasure {
  Usage usage;
  LayerMarks marks;  // if it is an upper
  // Inodes that have names outside of the tree, and their space.
  std::map<std::uint64_t, Usage> linked_elsewhere;
};

// Thread-safe for different ids.
class TreeDirs {
 public:
  // root is the store's root; trees/ is made if it is missing.
  static base::Result<TreeDirs> open(const base::HostPath& root);

  base::Result<bool> exists(SnapshotId id) const;
  base::Status create(SnapshotId id) const;
  base::Result<base::Fd> open_tree(SnapshotId id, int flags) const;  // trees/<id>; flags as for open_part
  base::Status create_part(SnapshotId id, std::string_view name, unsigned mode) const;
  // flags: those of open(2); O_DIRECTORY and O_NOFOLLOW are added.
  base::Result<base::Fd> open_part(SnapshotId id, std::string_view name, int flags) const;
  base::Status erase_part(SnapshotId id, std::string_view name) const;
  base::Status rename_part(SnapshotId id, std::string_view from, std::string_view to) const;
  // Removes trees/<id> with everything in it, subvolumes too; nothing there is success.
  base::Status erase(SnapshotId id) const;
  // As erase(), and gives up with `cancelled` soon after a stop request.
  base::Status erase(SnapshotId id, const std::stop_token& stop) const;
  // Of trees/<id> with everything in it, or of one part.
  base::Result<TreeMeasure> measure(SnapshotId id) const;
  base::Result<TreeMeasure> measure_part(SnapshotId id, std::string_view name) const;

  // Makes one tree durable by syncing each of its files and directories.
  base::Status sync_tree(SnapshotId id) const;
  // Makes the names of all trees durable.
  base::Status sync_names() const;
  // Makes the whole file system durable.
  base::Status sync_all() const;

 private:
  TreeDirs(base::Fd root, base::Fd trees) : root_(std::move(root)), trees_(std::move(trees)) {}
  // Both are opened once and kept, so that each write-back error of the file system reaches us once.
  base::Fd root_, trees_;
};

}  // namespace cairn::snapshot
