// SPDX-License-Identifier: Apache-2.0
// What deletion costs: 10,000 records that each have a small tree, until their space is free; and 1 % of 1,000,000
// records by a policy, with the memory that it takes. BuildKit's figures for the first: 2.6 s of 1,000, 61 s of 10,000.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <memory>

#include "bench/micro/bench_store.h"
#include "libbase/log/log.h"

namespace {

using namespace cairn;
using bench::anonymous_bytes;
using bench::BenchStore;
using test::must;

void BM_PruneRecordsWithTrees(benchmark::State& state) {
  const auto records = static_cast<std::uint64_t>(state.range(0));
  for (auto _ : state) {
    state.PauseTiming();
    auto store = std::make_unique<BenchStore>(test::BigStoreOptions{.records = records, .chain = 4, .files = 4});
    state.ResumeTiming();
    const cache::PruneReport report = must(store->cache->prune({.all = true}));
    state.PauseTiming();
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
    const cache::PruneReport report = must(store.cache->prune({.policy = policy}));
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
