// SPDX-License-Identifier: Apache-2.0
// The directories of the snapshots on disk: <root>/trees/<id>/ holds fs/ (the tree, or what changed in it), work/ (only
// while an overlay is active) and flat/ (a flat copy of the whole tree, only of deep chains). Which of them count is
// said by rows alone; nothing here decides. fs/ may be a subvolume of btrfs, whichever driver is in use today.
#pragma once

#include <atomic>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libbase/sync.h"
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
  // root is the store's root; trees/ and tmp/ are made if they are missing.
  static base::Result<TreeDirs> open(const base::HostPath& root);

  base::Result<bool> exists(SnapshotId id) const;
  base::Status create(SnapshotId id) const;
  base::Result<base::Fd> open_tree(SnapshotId id, int flags) const;  // trees/<id>; flags as for open_part
  base::Status create_part(SnapshotId id, std::string_view name, unsigned mode) const;
  // flags: those of open(2); O_DIRECTORY and O_NOFOLLOW are added.
  base::Result<base::Fd> open_part(SnapshotId id, std::string_view name, int flags) const;
  base::Status erase_part(SnapshotId id, std::string_view name) const;
  // Takes a part out of its tree, into tmp/, where nothing names it: one rename, and its files go with erase_taken(). What
  // nobody erases, open() does. Nothing there is success. If it cannot be renamed it is erased.
  base::Status take_out(SnapshotId id, std::string_view name) const;
  std::size_t taken() const;  // parts that wait to be erased
  // Erases them until a stop request. What cannot be erased is left to the next open().
  base::Status erase_taken(const std::stop_token& stop) const;
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
  TreeDirs(base::Fd root, base::Fd trees, base::Fd tmp)
      : root_(std::move(root)), trees_(std::move(trees)), tmp_(std::move(tmp)) {}
  // The first two are opened once and kept, so that each write-back error of the file system reaches us once.
  base::Fd root_, trees_, tmp_;
  struct Taken {
    std::deque<std::string> names;  // in tmp/
    std::uint64_t count = 0;
  };
  std::unique_ptr<base::Guarded<Taken>> taken_ = std::make_unique<base::Guarded<Taken>>();
};

}  // namespace cairn::snapshot
