// SPDX-License-Identifier: Apache-2.0
// The floor under a step: the same process in the bare OCI runtime, so that both are measured in one run.
#pragma once

#include <string>
#include <string_view>

#include "libbase/path.h"
#include "libsolver/executor.h"

namespace cairn::bench {

// Puts the program into a private mount namespace with cgroup2 on /sys/fs/cgroup, where crun works on every host. Called
// first in main(), before any thread. Aborts without root.
void enter_private_mounts();

// /bin/true on `tree` (null: none yet), with the host's network.
solver::ExecRequest true_request(std::string id, const snapshot::MountedTree* tree);

class BareRuntime {
 public:
  // Copies `rootfs` into a bundle below the existing directory dir; `runtime` is an executor's name ("crun", "runc"; for
  // "bubblewrap", which has no bundles, crun is the floor). The bundle is what the executor would write for true_request().
  BareRuntime(const base::HostPath& dir, const std::string& rootfs, std::string_view runtime);

  // Starts the runtime, waits for it, and aborts unless it ended with 0.
  void run() const;

 private:
  std::string dir_, name_, runtime_;
};

}  // namespace cairn::bench
