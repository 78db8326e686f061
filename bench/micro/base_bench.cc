// SPDX-License-Identifier: Apache-2.0
// What hashing and decompression cost, which bound scanning, pulling and pushing.
#include <cstdint>
#include <random>
#include <string>

#include <benchmark/benchmark.h>

#include "libbase/compress/decoder.h"
#include "libbase/hash/sha256.h"

namespace {

using namespace cairn::base;

// Words of a small vocabulary in a random order: compresses about as well as source code does.
std::string make_text(std::size_t size) {
  std::mt19937 random(7);
  std::string text;
  text.reserve(size + 16);
  while (text.size() < size) {
    const auto word = random() % 4096;
    text += std::to_string(word * word % 65521);
    text += random() % 8 == 0 ? '\n' : ' ';
  }
  text.resize(size);
  return text;
}

void sha256_one_shot(benchmark::State& state) {
  const std::string text = make_text(static_cast<std::size_t>(state.range(0)));
  for (auto _ : state) benchmark::DoNotOptimize(sha256(text));
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sha256_one_shot)->Arg(64)->Arg(4096)->Arg(1 << 20);

void sha256_running(benchmark::State& state) {
  const std::string text = make_text(static_cast<std::size_t>(state.range(0)));
  Sha256 hash;
  for (auto _ : state) benchmark::DoNotOptimize(hash.update(text).finish());
  state.SetBytesProcessed(state.iterations() * state.range(0));
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK(sha256_running)->Arg(64)->Arg(4096)->Arg(1 << 20);

constexpr std::size_t text_size = 16 << 20;

void decode(benchmark::State& state, Compression compression) {
  const std::string packed = compress(compression, make_text(text_size)).value();
  for (auto _ : state) benchmark::DoNotOptimize(decompress(compression, packed, text_size).value());
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text_size));
  state.counters["ratio"] = static_cast<double>(text_size) / static_cast<double>(packed.size());
}
BENCHMARK_CAPTURE(decode, gzip, Compression::gzip)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(decode, zstd, Compression::zstd)->Unit(benchmark::kMillisecond);

void encode(benchmark::State& state, Compression compression, int level) {
  const std::string text = make_text(text_size);
  std::size_t packed_size = 0;
  for (auto _ : state) packed_size = compress(compression, text, level).value().size();
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(text_size));
  state.counters["ratio"] = static_cast<double>(text_size) / static_cast<double>(packed_size);
}
BENCHMARK_CAPTURE(encode, gzip_1, Compression::gzip, 1)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, gzip_default, Compression::gzip, 0)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, gzip_6, Compression::gzip, 6)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(encode, zstd_default, Compression::zstd, 0)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
