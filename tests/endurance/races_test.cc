// SPDX-License-Identifier: Apache-2.0
// 64 threads of lookups, commits and prunes of everything on one store: the thread sanitizer has nothing to say, and what
// was hit is there. CAIRN_TEST_FULL: ten minutes of it.
#include <algorithm>

#include "tests/endurance/traffic.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::test {
namespace {

TEST(Endurance, ManyThreadsOfLookupsCommitsAndPrunes) {
  cache::OpenStore store;
  store.snapshots->start(*store.writer);
  store.cache->start_collector({.policy = cache::default_policy()});
  TrafficCounts counts;
  {
    Traffic traffic(*store.cache);
    traffic.start({.lookups = 36, .commits = 24, .prunes = 4}, 1);
    // Ends early if something is wrong.
    const auto end = std::chrono::steady_clock::now() + endurance_time();
    while (std::chrono::steady_clock::now() < end && traffic.complaints().empty())
      std::this_thread::sleep_for(std::chrono::milliseconds(100));
    traffic.stop();
    EXPECT_EQ(traffic.complaints(), std::vector<std::string>());
    counts = traffic.counts();
  }
  fmt::print("{} lookups, {} hits, {} commits, {} leases, {} prunes that took {} records\n", counts.lookups, counts.hits,
             counts.commits, counts.leases, counts.prunes, counts.pruned_records);
  EXPECT_GT(counts.hits, 0u);
  EXPECT_GT(counts.commits, 0u);
  EXPECT_GT(counts.leases, 0u);
  EXPECT_GT(counts.pruned_records, 0u);
  store.cache->stop_collector();
  store.snapshots->stop();
  EXPECT_EQ(store.findings(), std::vector<std::string>());
  cache::must(store.cache->prune({.all = true}));
  EXPECT_EQ(cache::must(store.cache->disk_usage()).records, 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

}  // namespace
}  // namespace cairn::test
