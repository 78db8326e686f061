// SPDX-License-Identifier: Apache-2.0
// Steps in an OCI runtime: the bundle gets a config.json, and the runtime's log says what failed.
#pragma once

#include "libsolver/exec/runtime.h"
#include "libsolver/exec/sandbox.h"

namespace cairn::solver {

class OciSandbox : public Sandbox {
 public:
  explicit OciSandbox(Runtime runtime) : runtime_(std::move(runtime)) {}

  std::string_view name() const override { return runtime_.name; }
  std::string about() const override;
  base::Result<std::unique_ptr<SandboxRun>> tell(const PreparedStep& step, Bundle& bundle, SpawnPlan& plan) const override;

 private:
  const Runtime runtime_;
};

}  // namespace cairn::solver
