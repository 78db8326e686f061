// SPDX-License-Identifier: Apache-2.0
// Blobs: durable puts by 8 callers with one and with 256 on the way, warm gets, what a blob costs as a file and in a
// pack, large blobs beside SHA-256 and the disk, and a plain append with its sync in the same run. CAIRN_BENCH_DIR or TMPDIR
// decides which disk is measured.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <functional>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "bench/micro/bench_store.h"
#include "libbase/hash/sha256.h"
#include "libcache/blobs/blob_files.h"
#include "tests/support/random_bytes.h"
#include "tests/support/string_source.h"

namespace {

using namespace cairn;
using bench::BenchStore;
using test::BytesSource;
using test::must;
using test::random_bytes;

// What the disk takes for an append of 1 KiB and its sync: the floor of a durable put by one caller.
void plain_append_and_sync(benchmark::State& state) {
  const base::HostPath dir = bench::make_dir();
  const base::Fd file(::open((dir / "log").c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
  const std::string bytes(1024, 'x');
  for (auto _ : state) {
    must(base::write_full(file.get(), std::string_view(bytes)));
    must(base::sync_data(file.get()));
  }
  bench::remove_dir(dir);
}
BENCHMARK(plain_append_and_sync)->UseRealTime()->Unit(benchmark::kMillisecond)->MinTime(1);

// 8 callers, each with `range` puts of 1 KiB on the way at any time.
void durable_puts(benchmark::State& state) {
  constexpr std::size_t callers = 8;
  const auto window = static_cast<std::size_t>(state.range(0));
  const std::size_t puts_per_caller = window == 1 ? 200 : 20 * window;
  BenchStore store;
  std::uint64_t round = 0, puts = 0;
  const auto syncs = base::sync_counts().total();
  for (auto _ : state) {
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < callers; ++i)
      threads.emplace_back([&, i] {
        std::string bytes = random_bytes(round * callers + i, 1024);
        std::vector<base::lmdb::SequenceNumber> on_the_way;
        for (std::size_t n = 0; n < puts_per_caller; ++n) {
          std::memcpy(bytes.data(), &n, sizeof n);
          if (on_the_way.size() < window) {
            on_the_way.push_back(must(store.cache->blobs().put(std::string_view(bytes))).sequence);
            continue;
          }
          auto& oldest = on_the_way[n % window];
          must(store.writer->wait_durable(oldest));
          oldest = must(store.cache->blobs().put(std::string_view(bytes))).sequence;
        }
        for (const auto number : on_the_way) must(store.writer->wait_durable(number));
      });
    for (std::thread& thread : threads) thread.join();
    puts += callers * puts_per_caller;
    ++round;
  }
  state.counters["puts_per_s"] = benchmark::Counter(static_cast<double>(puts), benchmark::Counter::kIsRate);
  state.counters["syncs_per_put"] =
      static_cast<double>(base::sync_counts().total() - syncs) / static_cast<double>(puts);
}
BENCHMARK(durable_puts)->Arg(1)->Arg(256)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->MinTime(1);

void warm_gets(benchmark::State& state) {
  static BenchStore* store = nullptr;
  static std::vector<BlobDigest> names;
  if (state.thread_index() == 0 && store == nullptr) {
    store = new BenchStore();
    base::lmdb::SequenceNumber last = 0;
    for (std::uint64_t i = 0; i < 100'000; ++i) {
      const auto put = must(store->cache->blobs().put(std::string_view(random_bytes(i, 1024))));
      names.push_back(put.info.digest);
      last = put.sequence;
    }
    must(store->writer->wait_durable(last));
  }
  std::uint64_t n = static_cast<std::uint64_t>(state.thread_index()) * 31;
  for (auto _ : state) {
    n = (n + 7919) % names.size();
    benchmark::DoNotOptimize(must(store->cache->blobs().read(names[n], 1024)));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
  if (state.thread_index() == 0 && state.threads() == 2) {
    delete store;
    store = nullptr;
    names.clear();
  }
}
BENCHMARK(warm_gets)->Threads(1)->Threads(2)->UseRealTime();

// As many blobs of one size as make 16 MiB, durable at the end: as files, whatever their size, and through the store.
void blobs_as_files(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::size_t count = (16u << 20) / size;
  BenchStore store;
  std::uint64_t n = 0;
  for (auto _ : state)
    for (std::size_t i = 0; i < count; ++i) {
      cache::BlobFile file = must(cache::BlobFile::begin(store.root()));
      must(file.write(random_bytes(++n, size)));
      must(file.place(file.digest(), false));
    }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}
void blobs_of_size(benchmark::State& state) {
  const auto size = static_cast<std::size_t>(state.range(0));
  const std::size_t count = (16u << 20) / size;
  BenchStore store;
  std::uint64_t n = 0;
  for (auto _ : state) {
    base::lmdb::SequenceNumber last = 0;
    for (std::size_t i = 0; i < count; ++i)
      last = must(store.cache->blobs().put(std::string_view(random_bytes(++n, size)))).sequence;
    must(store.writer->wait_durable(last));
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * count));
}
BENCHMARK(blobs_as_files)->RangeMultiplier(4)->Range(16 << 10, 1 << 20)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);
BENCHMARK(blobs_of_size)->RangeMultiplier(4)->Range(16 << 10, 1 << 20)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);

constexpr std::size_t large = 512u << 20;

void sha256_of_large(benchmark::State& state) {
  const std::string bytes = random_bytes(1, large);
  for (auto _ : state) benchmark::DoNotOptimize(base::sha256(bytes));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
}
BENCHMARK(sha256_of_large)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);

void plain_write_of_large(benchmark::State& state) {
  const std::string bytes = random_bytes(1, large);
  const base::HostPath dir = bench::make_dir();
  for (auto _ : state) {
    const base::Fd file(::open((dir / "file").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
    for (std::size_t at = 0; at < large; at += 256 * 1024)
      must(base::write_full(file.get(), std::string_view(bytes).substr(at, 256 * 1024)));
    must(base::sync_data(file.get()));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
  bench::remove_dir(dir);
}
BENCHMARK(plain_write_of_large)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(2);

void put_of_large(benchmark::State& state) {
  BenchStore store;
  std::uint64_t seed = 1;
  for (auto _ : state) {
    state.PauseTiming();
    const std::string bytes = random_bytes(++seed, large);
    BytesSource source(bytes);
    state.ResumeTiming();
    must(store.writer->wait_durable(must(store.cache->blobs().put(source, {})).sequence));
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
}
BENCHMARK(put_of_large)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->Iterations(2);

double seconds(const std::function<void()>& f) {
  const auto begin = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

// A put beside the slower of SHA-256 of the same bytes and a plain write of them with its sync, and a read of all of it beside
// SHA-256 (the bytes are in memory), in turns: parts of 1, of which the budgets want 0.8.
void large_beside_sha_and_disk(benchmark::State& state) {
  BenchStore store;
  const base::HostPath dir = bench::make_dir();
  double hashed = 0, written = 0, put = 0, got = 0;
  std::uint64_t seed = 10;
  std::vector<char> buffer(256 * 1024);
  for (auto _ : state) {
    const std::string bytes = random_bytes(++seed, large);
    hashed += seconds([&] { benchmark::DoNotOptimize(base::sha256(bytes)); });
    written += seconds([&] {
      const base::Fd file(::open((dir / "file").c_str(), O_CREAT | O_TRUNC | O_WRONLY | O_CLOEXEC, 0644));
      for (std::size_t at = 0; at < large; at += buffer.size())
        must(base::write_full(file.get(), std::string_view(bytes).substr(at, buffer.size())));
      must(base::sync_data(file.get()));
    });
    BytesSource source(bytes);
    BlobDigest digest;
    put += seconds([&] {
      const auto outcome = must(store.cache->blobs().put(source, {}));
      digest = outcome.info.digest;
      must(store.writer->wait_durable(outcome.sequence));
    });
    got += seconds([&] {
      const auto blob = must(store.cache->blobs().open(digest));
      std::size_t all = 0;
      while (const std::size_t count = must(blob->read(std::as_writable_bytes(std::span(buffer))))) all += count;
      CHECK(all == large, "{} bytes came back", all);
    });
  }
  state.counters["put_of_slower"] = std::max(hashed, written) / put;
  state.counters["get_of_sha256"] = hashed / got;
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * large));
  bench::remove_dir(dir);
}
BENCHMARK(large_beside_sha_and_disk)->UseRealTime()->Unit(benchmark::kMillisecond)->Iterations(4);

}  // namespace

BENCHMARK_MAIN();
