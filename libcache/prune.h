// SPDX-License-Identifier: Apache-2.0
// Taking records out of a store: by hand (Cache::prune), or by a policy in the background (Cache::start_collector).
//
// Both select with the same code (a dry run too) and decide in the writer's transaction, where holds and rows agree. The
// one fact to know: what ceilings and floors compare are live bytes (DiskUsage::live_bytes). What has been
// taken is no longer live and is freed soon after; du shows it on a line of its own.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/policy.h"
#include "libcache/record.h"

namespace cairn::cache {

struct PrunedRecord : RecordInfo {
  std::uint32_t rule = 0;        // of the policy
  std::int64_t freed_bytes = 0;  // of it alone
};

struct PruneOptions {
  bool all = false;      // also what a key leads to; without it only what no key leads to any more. Not with a policy
  bool dry_run = false;  // selects with the same code and changes nothing
  std::optional<Policy> policy{};  // its rules, in their order, instead of `all`
  std::optional<DiskSpace> disk{};  // what the rules are to take the disk for; nullopt: as it is
  // Gets each record once its removal is durable, in the order of removal, on the calling thread; PruneReport::records
  // then stays empty, so that a prune of any size needs the memory of one round. Not with dry_run.
  std::function<void(PrunedRecord)> removed{};
};

// Looks at candidates that stayed, by what kept them.
struct Passed {
  std::uint64_t in_use = 0, pinned = 0, too_young = 0, other_filter = 0, internal = 0, below_floor = 0;
};

struct PruneReport {
  std::vector<PrunedRecord> records;  // removed (or would be), in the order of removal: children before parents
  std::uint64_t blobs = 0;          // removed with them: blobs that no record names any more
  std::int64_t freed_bytes = 0;     // of trees and blobs; what an earlier, stopped prune left in the trash included
  Passed passed;                    // when it was done
  std::uint64_t rows_visited = 0;   // by the selections
  std::uint64_t rounds = 0;         // of choosing and removing; what a round took is no longer live when it ends
  std::uint64_t chosen_max = 0;     // records, in one round
};

struct CollectorOptions {
  Policy policy = default_policy();
  // The file system of the store; empty: statfs. Called without a lock held.
  std::function<base::Result<DiskSpace>()> measure_disk{};
  std::chrono::nanoseconds look_interval = std::chrono::minutes(1);  // for ages, and for space that others take
};

struct CollectorCounts {
  std::uint64_t looks = 0;         // at whether there is something to do
  std::uint64_t collections = 0;   // that took something
  std::uint64_t records = 0;
  std::int64_t bytes = 0;
  std::uint64_t rows_visited = 0;
  std::uint64_t emergencies = 0;   // because the disk was full
  std::uint64_t checkpoints = 0;   // of the journal, written because they were due
  std::uint64_t compactions = 0;   // of packs
};

// Tombstone::rule of a key whose record was found damaged.
inline constexpr std::string_view damage_rule = "damage";

// Why what was looked for is not there any more.
struct Tombstone {
  base::WallTime when{};                     // it was taken
  std::string rule;                          // by this one: "rule 2 \"space\"", "prune"; or damage_rule
  std::chrono::nanoseconds build_time{0};    // what it takes to make it again
};

// Results that were made again after they had been taken: what the policy was wrong about.
struct Regret {
  std::uint64_t count = 0;
  std::chrono::nanoseconds build_time{0};
};

}  // namespace cairn::cache
