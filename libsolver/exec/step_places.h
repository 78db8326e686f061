// SPDX-License-Identifier: Apache-2.0
// Where steps run: cgroups that are there already, and for those of cgroup v1 a thread in them, whose children begin there.
// To move a process into a group waits for a grace period of the kernel, up to 16 ms, and to remove a group takes 4 ms
// (bench/budgets.md); a place that is kept costs both once.
#pragma once

#include <atomic>
#include <memory>
#include <vector>

#include "libbase/sync.h"
#include "libsolver/exec/cgroups.h"
#include "libsolver/exec/spawner.h"

namespace cairn::solver {

struct StepPlace {
  StepCgroup cgroup;
  std::unique_ptr<Spawner> spawner;  // null: there are no groups of v1, so any will do; ends before the groups
};

// Thread-safe.
class StepPlaces {
 public:
  // The groups outlive this.
  StepPlaces(const Cgroups& cgroups, const StepLimits& limits) : cgroups_(cgroups), limits_(limits) {}

  // One that was used before, or a new one. A new thread may still be on its way into its groups; its children wait for it.
  // Errors: no_space, io.
  base::Result<StepPlace> take();
  // After its step: no process of it is alive. What may have changed the groups themselves must not be given back.
  void give_back(StepPlace place);

 private:
  static constexpr std::size_t kept_max = 16;
  const Cgroups& cgroups_;
  const StepLimits limits_;
  std::atomic<std::uint64_t> made_{0};
  base::Guarded<std::vector<StepPlace>> idle_;
};

}  // namespace cairn::solver
