// SPDX-License-Identifier: Apache-2.0
// The executors that ship, and crun as it must be used on kernels that cannot clone detached mounts.
#include "tests/conformance/executor_suite.h"

#include "libsolver/exec/oci_sandbox.h"
#include "libsolver/exec/step_executor.h"

namespace cairn::solver {
namespace {

using base::HostPath;

base::Result<std::unique_ptr<Executor>> open_attaching(const HostPath& state_dir, std::optional<StepLimits> limits) {
  // Opening makes the directory and shows that the runtime works here; then the same again, the older way.
  TRY(open_executor({"crun", state_dir}));
  Runtime runtime = TRY(find_runtime("crun"));
  runtime.cgroups = CgroupView::private_v2;
  Cgroups cgroups = Cgroups::open(Cgroups::find(test::read_text("/proc/self/mountinfo"), test::read_text("/proc/self/cgroup")), fmt::format("attaching-{:x}", std::hash<std::string>()(state_dir.str())));
  return std::make_unique<StepExecutor>(std::make_shared<OciSandbox>(std::move(runtime)), state_dir, TRY(Spawner::open()),
                                        TreeTransfer::attach, std::move(cgroups), limits.value_or(StepLimits()));
}

ExecutorVariant variant(const std::string& name) {
  return {name, [name](const HostPath& state_dir, std::optional<StepLimits> limits) {
            return open_executor({.runtime = name, .state_dir = state_dir, .limits = limits});
          }};
}

// All of them must be here: one that is not installed fails.
const ExecutorVariant variants[] = {variant("crun"), variant("runc"), variant("bubblewrap"), {"crun_attaching", open_attaching}};

INSTANTIATE_TEST_SUITE_P(Executors, ExecutorSuite, ::testing::ValuesIn(variants),
                         [](const auto& instance) { return instance.param.name; });

}  // namespace
}  // namespace cairn::solver
