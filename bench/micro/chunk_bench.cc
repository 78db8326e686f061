// SPDX-License-Identifier: Apache-2.0
// Blobs in chunks: how fast boundaries are found beside SHA-256, and what versions of build outputs take, whole and in
// chunks of several sizes. CAIRN_BENCH_FILES=a:b:... are versions of one thing; without it, this program and itself with 100
// bytes more in the middle.
#include <benchmark/benchmark.h>
#include <fcntl.h>

#include <cstdlib>
#include <sstream>

#include "bench/micro/bench_store.h"
#include "libbase/hash/sha256.h"
#include "libcache/chunk_rule.h"
#include "tests/support/string_source.h"

namespace {

using namespace cairn;
using test::BytesSource;
using test::must;

constexpr std::size_t file_bytes_max = std::size_t{2} << 30;

const std::vector<std::string>& versions() {
  static const std::vector<std::string> all = [] {
    std::vector<std::string> files;
    const char* given = std::getenv("CAIRN_BENCH_FILES");
    std::istringstream names(given != nullptr ? given : "/proc/self/exe");
    for (std::string name; std::getline(names, name, ':');)
      files.push_back(must(base::read_file(*base::HostPath::parse(name), file_bytes_max)));
    if (given == nullptr) files.push_back(std::string(files[0]).insert(files[0].size() / 2, std::string(100, 'n')));
    return files;
  }();
  return all;
}

std::string_view sample() { return std::string_view(versions()[0]).substr(0, 256u << 20); }

void find_boundaries(benchmark::State& state) {
  const cache::ChunkRule rule = must(cache::ChunkRule::of_average(static_cast<std::uint32_t>(state.range(0))));
  for (auto _ : state)
    for (std::string_view rest = sample(); !rest.empty();) rest.remove_prefix(rule.cut(rest));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * sample().size()));
}
BENCHMARK(find_boundaries)->Arg(16 << 10)->Arg(64 << 10)->Arg(512 << 10)->Unit(benchmark::kMillisecond);

void sha256_of_the_same(benchmark::State& state) {
  for (auto _ : state) benchmark::DoNotOptimize(base::sha256(sample()));
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * sample().size()));
}
BENCHMARK(sha256_of_the_same)->Unit(benchmark::kMillisecond);

// All versions into a new store, durable; argument: the average, 0 for whole blobs. Then all are read back.
void put_versions(benchmark::State& state) {
  std::uint64_t bytes = 0;
  cache::DiskUsage usage;
  for (auto _ : state) {
    state.PauseTiming();
    const cache::CacheOptions options{.chunk_bytes = static_cast<std::uint32_t>(state.range(0))};
    auto store = std::make_unique<bench::BenchStore>(test::BigStoreOptions{.records = 0}, options);
    state.ResumeTiming();
    bytes = 0;
    for (const std::string& version : versions()) {
      BytesSource source(version);
      must(store->writer->wait_durable(must(store->cache->blobs().put(source, {})).sequence));
      bytes += version.size();
    }
    state.PauseTiming();
    usage = must(cache::disk_usage(*store->env, store->root()));
    store.reset();
    state.ResumeTiming();
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * bytes));
  const auto stored = usage.blob_bytes + usage.pack_bytes;
  state.counters["MB"] = static_cast<double>(bytes) / 1e6;
  state.counters["stored_MB"] = static_cast<double>(stored) / 1e6;
  state.counters["metadata_MB"] = static_cast<double>(usage.metadata_bytes) / 1e6;
  state.counters["blobs"] = static_cast<double>(usage.blobs);
}
BENCHMARK(put_versions)->Arg(0)->Arg(16 << 10)->Arg(64 << 10)->Arg(512 << 10)
    ->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->Iterations(1);

void read_back(benchmark::State& state) {
  const cache::CacheOptions options{.chunk_bytes = static_cast<std::uint32_t>(state.range(0))};
  bench::BenchStore store(test::BigStoreOptions{.records = 0}, options);
  BytesSource source(versions()[0]);
  const auto put = must(store.cache->blobs().put(source, {}));
  must(store.writer->wait_durable(put.sequence));
  std::vector<std::byte> buffer(256 * 1024);
  for (auto _ : state) {
    const auto opened = must(store.cache->blobs().open(put.info.digest));
    while (must(opened->read(buffer)) > 0) {
    }
  }
  state.SetBytesProcessed(static_cast<std::int64_t>(state.iterations() * versions()[0].size()));
}
BENCHMARK(read_back)->Arg(0)->Arg(64 << 10)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond)->Iterations(2);

}  // namespace

BENCHMARK_MAIN();
