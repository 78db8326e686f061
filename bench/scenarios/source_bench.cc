// SPDX-License-Identifier: Apache-2.0
// A local source of 80,000 files and 1.3 GB beside `cp -a --reflink=auto` of it: solved for the first time, when nothing has
// changed, and when one file has. A solve ends when what it made is durable, which cp does not wait for; where that is not
// free (CAIRN_BENCH_DIR is not in tmpfs) the syncs are in the figures of the first solve. What is opened and made is counted: a
// second solve that opens a file which has not changed is a failure of this program, not a figure.
#include <benchmark/benchmark.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>
#include <thread>

#include "bench/micro/source_tree.h"
#include "libsolver/llb.h"
#include "tools/engine/engine.h"

namespace {

using namespace cairn;
using bench::must;
using bench::SourceTree;

const SourceTree& source_tree() {
  static const SourceTree tree = [] {
    SourceTree made;
    std::this_thread::sleep_for(std::chrono::seconds(3));  // what is younger than two seconds is read again
    return made;
  }();
  return tree;
}

class Store {
 public:
  Store() : dir_(must(base::TemporaryDir::create(bench::place(), "cairn-bench-"))) {
    engine_ = must(engine::Engine::open(engine::EngineOptions(dir_.path() / "store")));
  }
  // How many steps were executed.
  std::size_t solve() {
    const auto source = solver::llb::local("src", {.unique_id = "bench"});
    solver::SolveRequest request;
    request.definition = must(solver::load_definition(must(solver::llb::marshal(source, {.local_unique_id = "bench"}))));
    request.locals.insert_or_assign("src", source_tree().path());
    solver::NoProgress progress;
    const solver::SolveOutcome outcome = engine_->solve(request, progress, {});
    must(outcome.status);
    return outcome.count(solver::StepState::executed);
  }

 private:
  base::TemporaryDir dir_;
  std::unique_ptr<engine::Engine> engine_;
};

void copy_plainly(benchmark::State& state) {
  const std::string from = source_tree().path().str();
  for (auto _ : state) {
    const base::TemporaryDir to = must(base::TemporaryDir::create(bench::place(), "cairn-bench-"));
    CHECK(std::system(("cp -a --reflink=auto " + from + " " + to.path().str() + "/copy").c_str()) == 0);
    state.PauseTiming();
    CHECK(std::system(("rm -rf " + to.path().str() + "/copy").c_str()) == 0);
    state.ResumeTiming();
  }
}
BENCHMARK(copy_plainly)->Unit(benchmark::kMillisecond)->UseRealTime()->Iterations(3);

void first_solve(benchmark::State& state) {
  source_tree();
  for (auto _ : state) {
    state.PauseTiming();
    auto store = std::make_unique<Store>();
    state.ResumeTiming();
    CHECK(store->solve() == 1);
    state.PauseTiming();
    store.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(first_solve)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->Iterations(3);

void unchanged_solve(benchmark::State& state) {
  source_tree();
  Store store;
  CHECK(store.solve() == 1);
  for (auto _ : state) CHECK(store.solve() == 0);
}
BENCHMARK(unchanged_solve)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->Iterations(10);

void one_file_changed_solve(benchmark::State& state) {
  const std::string top = source_tree().path().str();
  Store store;
  CHECK(store.solve() == 1);
  int n = 0;
  for (auto _ : state) {
    state.PauseTiming();
    std::ofstream(top + "/directory-0/source-file-3.c", std::ios::trunc) << "changed " << n++ << " " << ::getpid();
    state.ResumeTiming();
    CHECK(store.solve() == 1);
  }
}
BENCHMARK(one_file_changed_solve)->Unit(benchmark::kMillisecond)->UseRealTime()->MeasureProcessCPUTime()->Iterations(10);

}  // namespace

BENCHMARK_MAIN();
