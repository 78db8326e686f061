// SPDX-License-Identifier: Apache-2.0
// What differs between the ways to make a tree look like a changed copy of another: everything else (ids, rows,
// recovery, syncing, erasing) is shared. A driver has no state of its own.
#pragma once

#include <memory>
#include <string_view>

#include "libbase/path.h"
#include "libsnapshot/meta/chain.h"
#include "libsnapshot/mounts/detached.h"
#include "libsnapshot/trees/tree_dirs.h"

namespace cairn::snapshot {

// Thread-safe.
class Driver {
 public:
  virtual ~Driver() = default;
  virtual std::string_view name() const = 0;
  // Of the trees that make() makes on a parent.
  virtual Shape shape() const = 0;
  // Fills the new, empty trees/<id>. parent: what it starts from, or null. Errors: no_space, io, unavailable.
  virtual base::Status make(const TreeDirs& trees, SnapshotId id, const Chain* parent) const = 0;
  // read_write: the first layer of the chain receives the changes, and is mounted nowhere else.
  virtual base::Result<DetachedMount> mount(const TreeDirs& trees, const Chain& chain, Access access) const = 0;
};

std::unique_ptr<Driver> make_overlay_driver();
std::unique_ptr<Driver> make_native_driver();

// Copies what a mount of `chain` shows into the new directory trees/<id>/<name>.
base::Status copy_merged(const Driver& driver, const TreeDirs& trees, const Chain& chain, SnapshotId id,
                         std::string_view name);

// Tries overlays out beneath scratch (an existing directory): a detached mount, a whiteout, a rename, an opaque
// directory. An error says what did not work.
base::Status probe_overlay(const base::HostPath& scratch);

}  // namespace cairn::snapshot
