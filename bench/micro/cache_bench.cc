// SPDX-License-Identifier: Apache-2.0
// A store of 1,000,000 records (CAIRN_BENCH_RECORDS): a lookup that hits, with its hold, alone and beside a collection;
// du, a list of everything, opening; and how many records a second can be published. Times of single lookups are taken
// one by one, because what matters is the slowest of them.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <string>
#include <thread>
#include <vector>

#include "bench/micro/bench_store.h"
#include "libbase/hash/sha256.h"

namespace {

using namespace cairn;
using bench::anonymous_bytes;
using bench::BenchStore;
using test::must;
using Clock = std::chrono::steady_clock;

std::uint64_t records_wanted() {
  const char* text = std::getenv("CAIRN_BENCH_RECORDS");
  return text ? std::strtoull(text, nullptr, 10) : 1'000'000;
}

KeyDigest key(std::uint64_t n) { return base::digest_of<KeyDigest>("key " + std::to_string(n)); }

// Filled once for all that only read it.
BenchStore& big_store() {
  static BenchStore store({.records = records_wanted()});
  return store;
}

bool look_up(BenchStore& store, std::uint64_t n) {
  bool hit = false;
  must(store.cache->keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
    const auto results = TRY(reader.results(test::big_store_key(n)));
    if (!results.empty()) hit = TRY(store.cache->find(results[0].record)).has_value();
    return {};
  }));
  return hit;
}

void report(benchmark::State& state, std::vector<std::int64_t>& ns) {
  std::sort(ns.begin(), ns.end());
  const auto at = [&](double part) {
    return static_cast<double>(ns[static_cast<std::size_t>(part * static_cast<double>(ns.size() - 1))]) / 1000.0;
  };
  state.counters["p50_us"] = at(0.50);
  state.counters["p99_us"] = at(0.99);
  state.counters["p99.9_us"] = at(0.999);
  state.counters["max_us"] = at(1.0);
}

void lookup_with_hold(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  std::vector<std::int64_t> times;
  std::uint64_t n = 0;
  for (auto _ : state) {
    n = (n + 7919) % records;
    const auto begin = Clock::now();
    CHECK(look_up(store, n));
    times.push_back(std::chrono::nanoseconds(Clock::now() - begin).count());
  }
  report(state, times);
}
BENCHMARK(lookup_with_hold)->Unit(benchmark::kMicrosecond)->Iterations(200'000);

// Many lookups in one version of the store, as a solve does them.
void lookups_of_a_burst(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  std::uint64_t n = 0;
  for (auto _ : state)
    must(store.cache->keys().read([&](cache::KeyStore::Reader& reader) -> base::Status {
      for (std::uint64_t i = 0; i < 1000; ++i) {
        n = (n + 7919) % records;
        const auto results = TRY(reader.results(test::big_store_key(n)));
        CHECK(results.size() == 1);
        benchmark::DoNotOptimize(TRY(store.cache->find(results[0].record)));
      }
      return {};
    }));
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 1000);
}
BENCHMARK(lookups_of_a_burst)->Unit(benchmark::kMicrosecond);

void du_summary(benchmark::State& state) {
  BenchStore& store = big_store();
  for (auto _ : state) benchmark::DoNotOptimize(must(cache::disk_usage(*store.env, store.root())));
}
BENCHMARK(du_summary)->Unit(benchmark::kMillisecond);

void du_by_owner(benchmark::State& state) {
  BenchStore& store = big_store();
  for (auto _ : state) benchmark::DoNotOptimize(must(cache::usage_by(*store.env, cache::Dimension::project)));
}
BENCHMARK(du_by_owner)->Unit(benchmark::kMillisecond);

void list_all(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t seen = 0;
  for (auto _ : state)
    must(cache::each_record(*store.env, store.root(), [&](const cache::RecordInfo& info) -> base::Status {
      seen += info.id ? 1 : 0;
      return {};
    }));
  state.SetItemsProcessed(static_cast<std::int64_t>(seen));
}
BENCHMARK(list_all)->Unit(benchmark::kMillisecond)->Iterations(3);

// The store is closed and opened again; what a process takes beside what it took without it.
void open_and_first_hit(benchmark::State& state) {
  BenchStore& store = big_store();
  std::uint64_t n = 1;
  for (auto _ : state) {
    state.PauseTiming();
    store.close();
    const std::int64_t before = anonymous_bytes();
    state.ResumeTiming();
    store.open_env();
    store.open_cache();
    CHECK(look_up(store, n = (n + 7919) % records_wanted()));
    state.PauseTiming();
    const auto bytes = static_cast<double>(std::max<std::int64_t>(anonymous_bytes() - before, 0));
    state.counters["anon_bytes_per_record"] = bytes / static_cast<double>(records_wanted());
    state.ResumeTiming();
  }
}
BENCHMARK(open_and_first_hit)->Unit(benchmark::kMillisecond)->Iterations(20);

void publish_records(benchmark::State& state) {
  BenchStore store;
  std::uint64_t n = 0;
  for (auto _ : state) {
    base::lmdb::SequenceNumber last = 0;
    for (int i = 0; i < 100; ++i) {
      cache::Publication publication;
      cache::MutableRef tree = must(store.cache->create({}));
      publication.add_result(key(++n), must(std::move(tree).commit(publication, {})));
      last = must(store.cache->publish(std::move(publication)));
    }
    must(store.writer->wait_durable(last));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()) * 100);
}
BENCHMARK(publish_records)->Unit(benchmark::kMillisecond);

// Last, for it empties the store: lookups while a prune of everything goes on. Misses are what has gone.
void lookup_during_collection(benchmark::State& state) {
  BenchStore& store = big_store();
  const std::uint64_t records = records_wanted();
  std::stop_source stop;
  std::atomic<bool> over{false};
  std::thread collector([&] {
    const auto report = store.cache->prune({.all = true}, stop.get_token());
    CHECK(report || report.error().code == base::ErrorCode::cancelled);
    over = true;
  });
  std::vector<std::int64_t> times;
  std::uint64_t n = 0, hits = 0;
  for (auto _ : state) {
    n = (n + 7919) % records;
    const auto begin = Clock::now();
    hits += look_up(store, n) ? 1 : 0;
    times.push_back(std::chrono::nanoseconds(Clock::now() - begin).count());
  }
  state.counters["collecting_to_the_end"] = over ? 0 : 1;
  stop.request_stop();
  collector.join();
  state.counters["hits"] = static_cast<double>(hits);
  report(state, times);
}
BENCHMARK(lookup_during_collection)->Unit(benchmark::kMicrosecond)->Iterations(200'000);

}  // namespace

BENCHMARK_MAIN();
