// SPDX-License-Identifier: Apache-2.0
// The directory that describes one run to the runtime:
//   config.json  hosts  resolv.conf  log  state/ (the runtime's own)  rootfs/ and m/<n> (where trees are attached)
//   t/<n> (whole trees, where the kernel cannot clone detached ones)
// It is in memory, for config.json tells the step's environment, in which secrets may be; and as each file and directory on a
// disk costs twice. The host has an empty directory of the id, over which the child attaches it in its mount namespace.
#pragma once

#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/mount_points.h"

namespace cairn::solver {

class Bundle {
 public:
  // Errors: busy (a bundle of this name is there: the id is in use), no_space, io.
  static base::Result<Bundle> create(const base::HostPath& state_dir, const std::string& id);

  // The host path of a new place to attach something. kind as of what will be attached.
  base::Result<std::string> add_target(const std::string& folder, PointKind kind);
  base::Status write(const std::string& name, std::string_view text);
  std::string path(const std::string& name) const;
  const std::string& dir() const { return dir_; }
  int mount() const { return tree_.fd(); }  // to be attached at dir(), before all else
  // Empty if the runtime wrote none.
  base::Result<std::string> read_log() const;
  // Nothing is attached to the host's mounts, so this meets the directory of the id only.
  base::Status remove() &&;

 private:
  Bundle(base::Fd parent, base::TreePath name, std::string dir);
  base::Fd parent_;
  snapshot::MountedTree tree_;
  base::TreePath name_;
  std::string dir_;
  int targets_ = 0;
};

}  // namespace cairn::solver
