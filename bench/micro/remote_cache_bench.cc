// SPDX-License-Identifier: Apache-2.0
// Writing and reading caches of 100,000 records: chains of steps, each with a layer on those of the step before.
#include <benchmark/benchmark.h>

#include "libbase/hash/sha256.h"
#include "libsolver/remote_cache/config_order.h"
#include "libsolver/remote_cache/imported_keys.h"
#include "libsolver/remote_cache/merge_caches.h"

namespace {

using namespace cairn;
using namespace cairn::solver;

constexpr std::size_t records = 100'000;

std::string digest(const std::string& of) { return "sha256:" + base::to_hex(base::sha256(of)); }

// Chains of so many steps; every step takes the one before it by definition, and by content.
const WrittenCache& cache_of(std::size_t depth) {
  static std::map<std::size_t, WrittenCache> made;
  WrittenCache& cache = made[depth];
  if (!cache.config.records.empty()) return cache;
  while (cache.config.records.size() < records) {
    const std::size_t chain = cache.config.records.size();
    cache.config.records.push_back({digest(fmt::format("source {}", chain)), {}, {}, {}});
    std::int64_t below = -1;
    for (std::size_t step = 0; step < depth && cache.config.records.size() < records; ++step) {
      const std::string name = fmt::format("{} {}", chain, step);
      cache.config.layers.push_back({digest("layer " + name), below});
      below = static_cast<std::int64_t>(cache.config.layers.size()) - 1;
      cache.config.records.push_back({digest("step " + name),
                                      {{{"", cache.config.records.size() - 1}}},
                                      static_cast<std::size_t>(below),
                                      base::from_unix_ns(1'000)});
      const std::string& blob = cache.config.layers.back().blob;
      cache.layers.emplace(blob, CacheLayer{*BlobDigest::parse(blob), 1, {}, base::digest_of<DiffId>(name)});
    }
  }
  return cache;
}

void normalise(benchmark::State& state) {
  const WrittenCache& cache = cache_of(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) {
    CacheChains chains;
    std::vector<CacheChains::Record> places;
    for (const CacheConfig::Record& record : cache.config.records) {
      std::vector<std::vector<CacheChains::Source>> inputs;
      for (const auto& input : record.inputs) inputs.push_back({{places[input.front().link], input.front().selector}});
      std::vector<ChainResult> results;
      if (record.layer) {
        results.push_back({blobs_below(cache.config, *record.layer), record.created});
      }
      places.push_back(**chains.add(record.digest, inputs, results));
    }
    benchmark::DoNotOptimize(chains.config().json());
  }
}

void merge(benchmark::State& state) {
  const WrittenCache& cache = cache_of(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(merge_caches(cache, cache));
}

void read_back(benchmark::State& state) {
  const std::string json = cache_of(static_cast<std::size_t>(state.range(0))).config.json();
  for (auto _ : state) {
    auto config = parse_cache_config(json);
    CHECK(config && ImportedKeys::of(*config).has_value());
  }
  state.counters["bytes"] = static_cast<double>(json.size());
}

BENCHMARK(normalise)->Arg(1)->Arg(30)->Unit(benchmark::kMillisecond);
BENCHMARK(merge)->Arg(1)->Arg(30)->Unit(benchmark::kMillisecond);
BENCHMARK(read_back)->Arg(1)->Arg(30)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
