// SPDX-License-Identifier: Apache-2.0
// The config.json of a step's bundle. spec/solver 6.2.
//
// No seccomp filter yet: steps run with the 14 usual capabilities and without CAP_SYS_ADMIN, in their own namespaces.
#pragma once

#include <string>
#include <vector>

#include "libsolver/exec/runtime.h"
#include "libsolver/exec/user.h"
#include "libsolver/executor.h"

namespace cairn::solver {

struct OciMount {
  std::string dest;
  std::string type;  // "bind", "tmpfs", "proc", ...
  std::string source;
  std::vector<std::string> options;
};

// What every step sees before its own mounts: /proc, /dev, /sys and what is in them.
std::vector<OciMount> default_mounts(SecurityMode security);

// The usual capabilities, or (insecure) all there are, as far as this process could give them away.
std::vector<std::string> step_capabilities(SecurityMode security);

// mounts: in mount order, the root excluded. told: for a runtime that makes a cgroup itself. Errors: invalid_argument (a
// text that is not UTF-8 or holds a NUL).
base::Result<std::string> oci_config(const ExecRequest& request, const StepUser& user,
                                     const std::vector<OciMount>& mounts, const std::vector<std::string>& capabilities,
                                     const Runtime& runtime, const StepLimits& told = {});

// The generated files of a step.
std::string hosts_file(const ExecRequest& request);
std::string_view step_hostname(const ExecRequest& request);

}  // namespace cairn::solver
