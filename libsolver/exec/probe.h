// SPDX-License-Identifier: Apache-2.0
// Finding out by trying: a tree of one 132-byte program that ends with 0, run through the whole of the executor.
#pragma once

#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/exec/step_executor.h"

namespace cairn::solver {

// A detached tmpfs whose only file is the program /probe.
base::Result<snapshot::MountedTree> make_probe_tree();

// Whether this kernel clones detached mounts.
base::Result<TreeTransfer> probe_transfer();

// Runs /probe in this sandbox. The error says what failed.
base::Status probe_sandbox(std::shared_ptr<const Sandbox> sandbox, const base::HostPath& state_dir, TreeTransfer transfer);

}  // namespace cairn::solver
