// SPDX-License-Identifier: Apache-2.0
// What deletion costs: 10,000 records that each have a small tree, until their space is accounted free (nothing of it is
// live any more, and whoever measures the disk counts it as free), and until the files are erased; and 1 % of 1,000,000
// records by a policy, with the memory that it takes. BuildKit's figures for the first: 2.6 s of 1,000, 61 s of 10,000.
#include <benchmark/benchmark.h>
#include <time.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <thread>

#include "bench/micro/bench_store.h"
#include "libbase/log/log.h"

namespace {

using namespace cairn;
using bench::anonymous_bytes;
using bench::BenchStore;
using test::must;

double cpu_ms() {
  struct ::timespec used {};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &used);
  return static_cast<double>(used.tv_sec) * 1e3 + static_cast<double>(used.tv_nsec) / 1e6;
}

// Says when du has come to say that no record is live. It looks every 20 ms, as another process would.
class AccountedFree {
 public:
  explicit AccountedFree(BenchStore& store)
      : begun_(Clock::now()), cpu_begun_(cpu_ms()), thread_([this, &store](std::stop_token stop) {
          while (!stop.stop_requested() && must(cache::disk_usage(*store.env, store.root())).records > 0)
            std::this_thread::sleep_for(std::chrono::milliseconds(20));
          wall_ms = std::chrono::duration<double, std::milli>(Clock::now() - begun_).count();
          cpu_used_ms = cpu_ms() - cpu_begun_;
        }) {}
  void wait() { thread_.join(); }
  double wall_ms = 0, cpu_used_ms = 0;

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point begun_;
  double cpu_begun_;
  std::jthread thread_;
};

void BM_PruneRecordsWithTrees(benchmark::State& state) {
  const auto records = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto store = std::make_unique<BenchStore>(test::BigStoreOptions{.records = records, .chain = 4, .files = 4});
    AccountedFree accounted(*store);
    const double cpu_before = cpu_ms();
    state.ResumeTiming();
    const cache::PruneReport report = must(store->cache->prune({.all = true}));
    state.PauseTiming();
    state.counters["cpu_ms"] = cpu_ms() - cpu_before;
    accounted.wait();
    state.counters["accounted_free_ms"] = accounted.wall_ms;
    state.counters["accounted_free_cpu_ms"] = accounted.cpu_used_ms;
    CHECK(report.records.size() == records, "{} of {} records went", report.records.size(), records);
    CHECK(must(store->cache->disk_usage()).trash_bytes == 0, "not free");
    state.counters["rows_per_record"] = static_cast<double>(report.rows_visited) / static_cast<double>(records);
    store.reset();
    state.ResumeTiming();
  }
  state.counters["us_per_record"] = benchmark::Counter(static_cast<double>(records) * static_cast<double>(state.iterations()) / 1e6,
                                                       benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_PruneRecordsWithTrees)->Arg(1000)->Arg(10000)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

void BM_PruneOnePercentOfAMillion(benchmark::State& state) {
  constexpr std::uint64_t records = 1'000'000;
  constexpr std::int64_t tree_bytes = 64 << 10;
  BenchStore store({.records = records, .tree_bytes = tree_bytes});
  cache::Policy policy;
  policy.order = state.range(0) == 0 ? cache::PolicyOrder::lru : cache::PolicyOrder::cost;
  std::int64_t extra = 0;
  std::uint64_t removed = 0, rows = 0;
  for (auto _ : state) {
    cache::PolicyRule rule;
    const cache::DiskUsage usage = must(store.cache->disk_usage());
    rule.ceiling = cache::Space::bytes(static_cast<std::uint64_t>(usage.tree_bytes + usage.blob_bytes + usage.metadata_bytes -
                                                                  tree_bytes * static_cast<std::int64_t>(records) / 100));
    policy.rules = {rule};
    const std::int64_t before = anonymous_bytes();
    const double cpu_before = cpu_ms();
    const cache::PruneReport report = must(store.cache->prune({.policy = policy}));
    state.counters["cpu_ms"] = cpu_ms() - cpu_before;
    extra = std::max(extra, anonymous_bytes() - before);
    removed += report.records.size();
    rows += report.rows_visited;
  }
  state.counters["removed"] = static_cast<double>(removed) / static_cast<double>(state.iterations());
  state.counters["rows_per_removed"] = static_cast<double>(rows) / static_cast<double>(removed);
  state.counters["extra_mib"] = static_cast<double>(extra) / (1 << 20);
}
BENCHMARK(BM_PruneOnePercentOfAMillion)->ArgName("cost")->Arg(0)->Arg(1)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(1);

}  // namespace

int main(int argc, char** argv) {
  base::set_log_level(base::LogLevel::error);
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
