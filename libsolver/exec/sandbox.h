// SPDX-License-Identifier: Apache-2.0
// What differs between the programs that put a process into a sandbox: how a prepared step is told to them, and what they
// say when they cannot start it. Everything else (trees, mount points, cgroups, networks, output, the end of everything
// that a step started) is StepExecutor's, the same for all of them.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libsolver/exec/bundle.h"
#include "libsolver/exec/spawner.h"
#include "libsolver/exec/step_mount.h"
#include "libsolver/exec/user.h"
#include "libsolver/executor.h"

namespace cairn::solver {

// A step as the executor has prepared it; valid while it is told.
struct PreparedStep {
  const ExecRequest& request;
  const StepUser& user;
  const std::vector<StepMount>& mounts;  // in mount order, the root excluded; mount points exist, paths have no links
  std::uint64_t capabilities = 0;
  StepLimits told;  // for a program that makes a cgroup itself, where cgroup v2 is
};

// One run in a sandbox. Its end, after the child's, removes what the sandbox itself left.
class SandboxRun {
 public:
  virtual ~SandboxRun() = default;
  // Why the program of the step did not run, or nullopt: then the code, which is not 0, is its own. said: all output, if
  // it was little. The child has ended.
  virtual base::Result<std::optional<base::Error>> failure(int code, std::string_view said) const = 0;
};

// Thread-safe.
class Sandbox {
 public:
  virtual ~Sandbox() = default;
  virtual std::string_view name() const = 0;   // "crun", "runc", "bubblewrap"
  virtual std::string about() const = 0;       // for people: its program, and what is special about it here
  // Completes the plan of the child: its command, what it keeps, what it mounts for itself. The root tree will be at
  // bundle.path("rootfs"). Errors: invalid_argument, unavailable ("not supported: …"), no_space, io.
  virtual base::Result<std::unique_ptr<SandboxRun>> tell(const PreparedStep& step, Bundle& bundle, SpawnPlan& plan) const = 0;
};

}  // namespace cairn::solver
