// SPDX-License-Identifier: Apache-2.0
// The directory that describes one run to the runtime:
//   config.json  hosts  resolv.conf  log  state/ (the runtime's own)  rootfs/ and m/<n> (where trees are attached, in
//   the child's mount namespace only)  t/<n> (whole trees, where the kernel cannot clone detached ones)
#pragma once

#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libbase/result.h"
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
  // Empty if the runtime wrote none.
  base::Result<std::string> read_log() const;
  // Removes everything. Nothing is attached to the host's mounts, so this meets the bundle's own files only.
  base::Status remove() &&;

 private:
  Bundle(base::Fd parent, base::Fd fd, base::TreePath name, std::string dir);
  base::Fd parent_;
  base::Fd fd_;
  base::TreePath name_;
  std::string dir_;
  int targets_ = 0;
};

}  // namespace cairn::solver
