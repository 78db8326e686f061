// SPDX-License-Identifier: Apache-2.0
// Explanations in a store of 1,000,000 recipes (CAIRN_BENCH_RECORDS), each step made ten times: how long an answer takes, what the rows of a
// recipe take (pages of LMDB that are not full aside), and what keeping one costs whoever publishes.
#include <benchmark/benchmark.h>

#include <time.h>

#include <algorithm>

#include "bench/micro/bench_store.h"
#include "libcache/explain.h"
#include "libcache/explain/recipe_rows.h"
#include "libsolver/llb.h"
#include "libsolver/solver.h"
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

// Key, value with its checksum, and what LMDB needs for a row.
double row_bytes(BenchStore& store, const base::lmdb::RawTableSpec& table) {
  std::uint64_t bytes = 0;
  must(store.env->view([&](base::lmdb::ReadTxn& txn) {
    return txn.scan_raw(table, "", "", [&](std::string_view key, std::string_view value) -> base::Result<base::lmdb::Scan> {
      bytes += key.size() + value.size() + 14;
      return base::lmdb::Scan::next;
    });
  }));
  return static_cast<double>(bytes);
}

struct Filled {
  BenchStore store;
  double bytes_per_record = 0;
};

Filled& filled() {
  static std::unique_ptr<Filled> store = [] {
    auto made = std::make_unique<Filled>();
    must(test::put_model(*made->store.env, model(), unbounded));
    double bytes = 0;
    for (const base::lmdb::RawTableSpec* table : {static_cast<const base::lmdb::RawTableSpec*>(&cache::table::recipes),
                                                  static_cast<const base::lmdb::RawTableSpec*>(&cache::table::recipe_texts),
                                                  static_cast<const base::lmdb::RawTableSpec*>(&cache::table::recipe_index)})
      bytes += row_bytes(made->store, *table);
    made->bytes_per_record = bytes / static_cast<double>(model().steps * model().times);
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
// What it is of a build that has nothing but the cheapest steps there are: files of some bytes, each on the one before. The same work in two
// stores in turn, one of which keeps recipes; processor time of the whole process.
double cpu_ms() {
  timespec time{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

void BM_ColdFileSteps(benchmark::State& state) {
  constexpr int steps = 100;
  const base::SystemClock clock;
  BenchStore without({.records = 0}, {.recipes_max = 0}), with({.records = 0}, {});
  double cpu[2] = {0, 0};
  int round = 0;
  const auto solve = [&](BenchStore& store) {
    solver::llb::State tree;
    for (int i = 0; i < steps; ++i)
      tree = tree.file(solver::llb::FileActions().mkfile("/file" + std::to_string(i), 0644, "round " + std::to_string(round)));
    solver::SolveRequest request{.definition = must(solver::load_definition(must(solver::llb::marshal(tree)))), .locals = {}, .oci_layouts = {}};
    const auto no_executor = []() -> base::Result<std::unique_ptr<solver::Executor>> {
      return base::fail(base::ErrorCode::unavailable, "no step of this runs a process");
    };
    solver::Solver solver(*store.cache, no_executor, clock, {});
    solver::NoProgress quiet;
    const double begin = cpu_ms();
    const auto outcome = solver.solve(request, quiet, {});
    must(outcome.status);
    CHECK(outcome.count(solver::StepState::executed) == steps);
    return cpu_ms() - begin;
  };
  for (auto _ : state) {
    cpu[0] += solve(without);
    cpu[1] += solve(with);
    ++round;
  }
  state.counters["step_us"] = cpu[0] * 1000 / round / steps;
  state.counters["more_percent"] = (cpu[1] / cpu[0] - 1) * 100;
}
BENCHMARK(BM_ColdFileSteps)->Unit(benchmark::kMillisecond)->Iterations(5);

BENCHMARK(BM_KeepRecipe)->Unit(benchmark::kMillisecond)->Iterations(3);

}  // namespace

BENCHMARK_MAIN();
