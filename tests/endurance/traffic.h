// SPDX-License-Identifier: Apache-2.0
// Many threads on one cache: lookups that read what they hit, commits on what they find, blobs, leases, and prunes of
// everything. What a key leads to says what it is, so every hit is proved.
#pragma once

#include <atomic>
#include <cstdint>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "libbase/sync.h"
#include "libcache/cache.h"

namespace cairn::test {

struct TrafficCounts {
  std::uint64_t lookups = 0, hits = 0, commits = 0, leases = 0, prunes = 0, pruned_records = 0;
};

// The cache outlives it.
class Traffic {
 public:
  struct Threads {
    unsigned lookups = 0, commits = 0, prunes = 0;
  };
  explicit Traffic(cache::Cache& cache) : cache_(cache) {}
  ~Traffic() { stop(); }

  void start(const Threads& threads, std::uint64_t seed);
  void stop();
  // Looks up every key that there may be, from this thread.
  void look_at_everything();
  TrafficCounts counts() const;
  // Where a hit was not what it has to be, or a call failed: the first of them.
  std::vector<std::string> complaints();

 private:
  using Random = std::mt19937_64;
  void look_up_one(int n);
  void commit_one(int n, Random& random);
  base::Status check_hit(const cache::ImmutableRef& hit, int n);
  base::Result<std::optional<cache::ImmutableRef>> find(int n);
  base::Status commit(int n, Random& random);
  base::Status keep_by_a_lease(cache::ImmutableRef ref, int n);
  void run(const std::function<void(Random&)>& f, std::uint64_t seed);
  void note(const std::string& doing, const base::Status& outcome);

  cache::Cache& cache_;
  std::atomic<bool> stopping_{false};
  std::atomic<std::uint64_t> lookups_{0}, hits_{0}, commits_{0}, leases_{0}, prunes_{0}, pruned_records_{0};
  base::Guarded<std::vector<std::string>> complaints_;
  std::vector<std::jthread> threads_;
};

// How long an endurance test goes on: ten minutes in its full form (CAIRN_TEST_FULL).
std::chrono::seconds endurance_time();

}  // namespace cairn::test
