// SPDX-License-Identifier: Apache-2.0
// What runs when the power goes: prepares, changes, freezes, publishes, squashes, retires and erases snapshots, merges
// them, stacks their layers and applies their differences, by libsnapshot alone. Chains grow beyond chain_max, so that some are flattened; half of the time another tree is being written.
#pragma once

#include <cstdint>

#include "tests/e2e/power/events.h"
#include "tests/e2e/power/power_store.h"

namespace cairn::test {

struct WorkloadOptions {
  StoreOptions store;
  std::uint64_t seed = 1;
  int rounds = 30;
};

// Subjects are ids of snapshots. Aborts if the workload itself fails.
void run_snapshot_workload(const base::HostPath& root, const WorkloadOptions& options, Reporter& reporter);

}  // namespace cairn::test
