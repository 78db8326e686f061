// SPDX-License-Identifier: Apache-2.0
// Steps in bubblewrap, which needs neither cgroups nor a sysfs of its own, and so runs where OCI runtimes do not: in the user
// namespace of somebody without privileges. bubblewrap makes namespaces and mounts; what it cannot do (users and groups,
// limits, exact capabilities, saying why a program did not start) is done by a static program of ours, step_init, that it
// runs as process 1 and that becomes the step's program. docs/decisions/0021.
//
// Not like in an OCI runtime: a program cannot gain privileges by its set-id bit or file capabilities (bubblewrap always
// sets no_new_privs), and a step cannot mount over all of /dev or /proc.
#pragma once

#include "libbase/fs/fd.h"
#include "libbase/path.h"
#include "libsolver/exec/sandbox.h"

namespace cairn::solver {

class BubblewrapSandbox : public Sandbox {
 public:
  // Errors: unavailable (no bwrap in PATH), io.
  static base::Result<std::unique_ptr<BubblewrapSandbox>> open();

  std::string_view name() const override { return "bubblewrap"; }
  std::string about() const override;
  base::Result<std::unique_ptr<SandboxRun>> tell(const PreparedStep& step, Bundle& bundle, SpawnPlan& plan) const override;

 private:
  BubblewrapSandbox(base::HostPath program, base::Fd init, std::string call_filter, std::vector<std::string> masked_files,
                    std::vector<std::string> masked_directories, std::vector<std::string> read_only);

  const base::HostPath program_;
  const base::Fd init_;  // step_init, in memory
  const std::string call_filter_;
  // As far as this kernel has them.
  const std::vector<std::string> masked_files_, masked_directories_, read_only_;
};

}  // namespace cairn::solver
