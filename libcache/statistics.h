// SPDX-License-Identifier: Apache-2.0
// What the cache was good for: hits, misses by cause, and what hits have saved, by project. Counts wait in memory for a
// group that is written anyway, or for root/late, so a hit writes nothing; a crash may lose those of the last seconds,
// never half of one.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/prune.h"

namespace cairn::cache {

// Why nothing was found.
enum class MissCause : std::uint8_t {
  never_seen = 0,     // no work like this was ever done here, as far as the store remembers
  evicted = 1,        // it was done, and collected since
  key_differs = 2,    // the same step was done with other inputs
  error = 3,          // the lookup failed, or what it found was damaged
  timeout = 4,        // whoever was asked did not answer in time
};
inline constexpr std::size_t miss_causes = 5;
std::string_view to_string(MissCause cause);  // "never seen", "evicted", "key differs", "error", "timeout"

struct Counters {
  std::uint64_t hits = 0;
  std::array<std::uint64_t, miss_causes> misses{};  // by MissCause
  std::int64_t bytes_saved = 0;                     // of the trees that hits gave
  std::chrono::nanoseconds time_saved{0};           // what making them had taken

  std::uint64_t all_misses() const;
  Counters& operator+=(const Counters& other);
  bool operator==(const Counters&) const = default;
};
Counters one_miss(MissCause cause);

struct ProjectCounters {
  std::string project;  // Owner::project of whoever asked
  Counters counters;
};

// By project, ascending: what is in rows, and what the last owner left in root/late. Reads beside the owner of the store;
// what he has counted and not written yet is not in it. O(projects + uses in root/late).
base::Result<std::vector<ProjectCounters>> statistics(base::lmdb::Env& env, const base::HostPath& root);

// What scrubs have read back, by hand and in the background.
struct ScrubTotals {
  std::uint64_t bytes = 0;
  std::uint64_t damaged = 0;                      // what was not what its name says
  std::optional<base::WallTime> last_complete{};  // when the end was reached last
  ScrubTotals& operator+=(const ScrubTotals& other);
  bool operator==(const ScrubTotals&) const = default;
};

// What is durable of these. They read beside the owner of the store. O(1).
base::Result<ScrubTotals> scrub_totals(base::lmdb::Env& env);
base::Result<Regret> regret(base::lmdb::Env& env);

}  // namespace cairn::cache
