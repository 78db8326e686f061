// SPDX-License-Identifier: Apache-2.0
// The Executor over any Sandbox.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "libsolver/exec/capabilities.h"
#include "libsolver/exec/cgroups.h"
#include "libsolver/exec/network.h"
#include "libsolver/exec/sandbox.h"
#include "libsolver/exec/spawner.h"
#include "libsolver/exec/step_places.h"
#include "libsolver/executor.h"

namespace cairn::solver {

// How trees reach the child. Before Linux 6.15 a detached mount cannot be cloned, only attached, and that once: there a
// MountedTree serves one run, and the next run with it is refused as unavailable.
enum class TreeTransfer { clone, attach };

class StepExecutor : public Executor {
 public:
  // state_dir exists and is empty.
  StepExecutor(std::shared_ptr<const Sandbox> sandbox, base::HostPath state_dir, std::unique_ptr<Spawner> spawner,
               TreeTransfer transfer, Cgroups cgroups = {}, StepLimits limits = {});

  std::string_view name() const override { return sandbox_->name(); }
  base::Result<ExecExit> run(const ExecRequest& request, const std::function<void(Stream, std::string_view)>& output,
                             std::stop_token stop) override;
  std::uint64_t processes_run() const override { return processes_run_; }
  bool shares_trees() const override { return transfer_ == TreeTransfer::clone; }

 private:
  struct Mount;
  struct Run;

  base::Result<ExecExit> run_in(Run& run, const std::function<void(Stream, std::string_view)>& output,
                                std::stop_token stop);
  base::Status prepare(Run& run);
  base::Status place_mounts(Run& run);
  base::Status transfer_trees(Run& run);
  base::Status enter_network(Run& run, std::stop_token stop);
  base::Status enter_cgroup(Run& run);
  base::Result<ExecExit> finish(const Run& run, int code) const;

  const std::shared_ptr<const Sandbox> sandbox_;
  const base::HostPath state_dir_;
  const std::unique_ptr<Spawner> spawner_;  // outlives what it spawned
  const TreeTransfer transfer_;
  const Cgroups cgroups_;
  const StepLimits limits_;
  StepPlaces places_;
  const std::uint64_t capabilities_, insecure_capabilities_;  // what the kernel lets a step have
  std::atomic<std::uint64_t> processes_run_{0};
  std::once_flag networks_opened_;
  std::unique_ptr<Networks> networks_;  // null: there is no slirp4netns that works; uses the spawner
};

}  // namespace cairn::solver
