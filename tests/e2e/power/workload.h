// SPDX-License-Identifier: Apache-2.0
// What runs when the power goes: a process that prepares, changes, freezes, publishes, retires and erases snapshots, and
// reports through a pipe what it is about to do and what has been acknowledged to it, with the length of the disk's log
// at that moment.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "tests/e2e/power/power_store.h"
#include "tests/support/disk/disk_log.h"

namespace cairn::test {

struct Event {
  enum class Kind : std::uint32_t {
    intent,     // the snapshot is frozen and holds `state`; its rows are queued next
    committed,  // its publication has been acknowledged as durable
    retiring,   // that its rows go is queued next
    retired,    // and has been acknowledged
  };
  Kind kind = Kind::intent;
  snapshot::SnapshotId id;
  std::uint64_t position = 0;  // requests in the disk's log by then
  std::string state;           // tree_state() of an intent
};

struct WorkloadOptions {
  StoreOptions store;
  std::uint64_t seed = 1;
  int rounds = 30;
};

// In a child process; returns what it reported. Aborts if the workload itself fails, which it says on standard error.
std::vector<Event> run_workload(const base::HostPath& root, const WorkloadOptions& options, const DiskLog& log);

// Changes a mounted tree at random: files of all sizes, links, directories, removals, metadata. Aborts on unexpected
// errors.
void change_at_random(int dir, std::uint64_t seed, int count);

}  // namespace cairn::test
