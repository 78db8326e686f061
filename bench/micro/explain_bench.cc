// SPDX-License-Identifier: Apache-2.0
// Explanations in a store of 1,000,000 recipes (CAIRN_BENCH_RECORDS), each step made ten times: how long an answer takes, what a recipe takes on
// disk, and what keeping one costs whoever publishes.
#include <benchmark/benchmark.h>
#include <sys/stat.h>

#include <algorithm>

#include "bench/micro/bench_store.h"
#include "libcache/explain.h"
#include "libcache/explain/recipe_rows.h"
#include "tests/support/recipes.h"

namespace {

using namespace cairn;
using bench::BenchStore;
using test::must;

constexpr std::uint64_t times = 10;
constexpr std::uint64_t unbounded = ~std::uint64_t{0};

test::RecipeModel model() {
  const char* text = std::getenv("CAIRN_BENCH_RECORDS");
  const std::uint64_t records = text ? std::strtoull(text, nullptr, 10) : 1'000'000;
  return {.steps = std::max<std::uint64_t>(records / times, 20), .times = times};
}

std::int64_t metadata_bytes(const BenchStore& store) {
  struct ::stat found {};
  CHECK(::stat((store.root() / "meta/data.mdb").c_str(), &found) == 0);
  return std::int64_t{512} * found.st_blocks;
}

struct Filled {
  BenchStore store;
  double bytes_per_record = 0;
};

Filled& filled() {
  static std::unique_ptr<Filled> store = [] {
    auto made = std::make_unique<Filled>();
    const std::int64_t before = metadata_bytes(made->store);
    must(test::put_model(*made->store.env, model(), unbounded));
    made->bytes_per_record = static_cast<double>(metadata_bytes(made->store) - before) / static_cast<double>(model().steps * model().times);
    return made;
  }();
  return *store;
}

void BM_Explain(benchmark::State& state) {
  Filled& store = filled();
  std::uint64_t n = 0, rows = 0, answers = 0, slowest = 0;
  for (auto _ : state) {
    // Of steps all over, the last time that they were made; up to nine inputs above the directory that is to blame.
    const std::uint64_t step = (n++ * 7919) % model().steps;
    const auto begun = std::chrono::steady_clock::now();
    const cache::Explanation why = must(cache::explain(*store.store.env, test::modelled_record(model(), step, times - 1)));
    slowest = std::max(slowest, static_cast<std::uint64_t>(std::chrono::nanoseconds(std::chrono::steady_clock::now() - begun).count()));
    CHECK(why.reason.kind == cache::Reason::Kind::content);
    rows += why.counts.rows_read;
    ++answers;
  }
  state.counters["rows"] = static_cast<double>(rows) / static_cast<double>(answers);
  state.counters["slowest_us"] = static_cast<double>(slowest) / 1000.0;
  state.counters["bytes_per_record"] = store.bytes_per_record;
}
BENCHMARK(BM_Explain)->Unit(benchmark::kMicrosecond);

// Ten thousand more in one change, as part of a group that is written anyway.
void BM_KeepRecipe(benchmark::State& state) {
  Filled& store = filled();
  const test::RecipeModel more = model();
  std::uint64_t time = times;
  const std::uint64_t steps = std::min<std::uint64_t>(more.steps, 10'000);
  for (auto _ : state) {
    must(store.store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
      for (std::uint64_t step = 0; step < steps; ++step) TRY(test::put_modelled(txn, more, step, time, unbounded));
      return {};
    }));
    ++time;
  }
  state.counters["per_recipe"] = benchmark::Counter(static_cast<double>(steps), benchmark::Counter::kIsIterationInvariantRate | benchmark::Counter::kInvert);
}
BENCHMARK(BM_KeepRecipe)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace

BENCHMARK_MAIN();
