// SPDX-License-Identifier: Apache-2.0
// What differs between the ways to make a tree look like a changed copy of another: everything else (ids, rows,
// recovery, syncing, erasing) is shared. A driver has no state of its own.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "libbase/path.h"
#include "libsnapshot/lent.h"
#include "libsnapshot/meta/chain.h"
#include "libsnapshot/mounts/detached.h"
#include "libsnapshot/trees/copy.h"
#include "libsnapshot/trees/tree_dirs.h"

namespace cairn::snapshot {

// What is left to be done until a tree that was just frozen is durable.
enum class Reached { memory, disk };
struct Frozen {
  TreeMeasure measure;  // of trees/<id> with all that is in it, without what it shares with its parent
  Reached reached = Reached::memory;
};

// Thread-safe.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string_view name() const = 0;
  // Of the trees that make() makes on a parent.
  virtual Shape shape() const = 0;
  // How the bytes of a flat copy get there.
  virtual CopyData copies() const { return CopyData::clone; }
  // Fills the new, empty trees/<id>. parent: what it starts from, or null. Errors: no_space, io, unavailable.
  virtual base::Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const = 0;
  // read_write: the first layer of the chain receives the changes, and is mounted nowhere else.
  virtual base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const = 0;
  // Measures an active tree. O(changed files); reflink and native: O(files); btrfs writes it out. Errors: io, no_space.
  virtual base::Result<TreeMeasure> measure(const TreeDirs& trees, SnapshotId id) const;
  // Leaves in trees/<id> what stays of an active tree, and measures it. Errors: no_space, io, invalid_argument (the
  // tree holds what this driver cannot fork). After an error the tree is as usable as before.
  virtual base::Result<Frozen> freeze(const TreeDirs& trees, SnapshotId id) const;
  // Makes an active tree of a dead owner writable again, who may have died while it was being frozen.
  virtual base::Status take_up(const TreeDirs& trees, SnapshotId id) const;
  // How somebody outside mounts what mount() would (libsnapshot/lent.h). Errors: unavailable, io.
  virtual base::Result<MountSpec> mount_outside(const TreeDirs& trees, const base::HostPath& root, const Chain& chain,
                                                Access access) const;
  // ChangeOptions::may_differ between two frozen trees, if the driver can tell in less than a walk; else empty.
  virtual base::Result<std::function<bool(const base::TreePath&)>> candidates(const TreeDirs& trees, SnapshotId lower,
                                                                              SnapshotId upper) const;
};

std::unique_ptr<Driver> make_overlay_driver(OverlayMarksIn marks);
std::unique_ptr<Driver> make_btrfs_driver();
std::unique_ptr<Driver> make_reflink_driver();
std::unique_ptr<Driver> make_native_driver();

// Where a layer lies, for whoever sees the store's root there, and how one that stands for itself is mounted.
base::HostPath layer_path(const base::HostPath& root, const Chain& chain);
MountSpec bind_spec(const base::HostPath& root, const Chain& chain, Access access);
// Copies what a mount of `chain` shows into the new directory trees/<id>/<name>.
base::Status copy_merged(const Driver& driver, const TreeDirs& trees, const Chain& chain, SnapshotId id,
                         std::string_view name);
// Mounts a tree that stands for itself. Errors: unavailable if the chain has more than that one layer.
base::Result<DetachedMount> mount_complete(const TreeDirs& trees, const Chain& chain, Access access);

}  // namespace cairn::snapshot
