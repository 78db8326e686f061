// SPDX-License-Identifier: Apache-2.0
// The config.json of a step's bundle. spec/solver 6.2.
#pragma once

#include <string>
#include <vector>

#include "libsolver/exec/capabilities.h"
#include "libsolver/exec/runtime.h"
#include "libsolver/exec/step_mount.h"
#include "libsolver/exec/step_process.h"
#include "libsolver/exec/user.h"
#include "libsolver/executor.h"

namespace cairn::solver {

// mounts: in mount order, the root excluded. told: for a runtime that makes a cgroup itself. Errors: invalid_argument (a
// text that is not UTF-8).
base::Result<std::string> oci_config(const ExecRequest& request, const StepUser& user, const std::vector<StepMount>& mounts,
                                     std::uint64_t capabilities, const Runtime& runtime, const StepLimits& told = {});

}  // namespace cairn::solver
