// SPDX-License-Identifier: Apache-2.0
// What a solve costs when everything has been done before, and what one real step costs above its runtime.
//
// The warm figures are those of a real store that was filled through the solver by an executor which only writes a file;
// the engine that is measured has never seen it, and starts no process. Each line has its counts: a warm solve that
// starts a process, syncs, or reads a tree is a failure of this program, not a figure.
#include <benchmark/benchmark.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <ctime>
#include <fstream>
#include <map>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "bench/scenarios/bare_runtime.h"
#include "libsolver/llb.h"
#include "tests/libsolver/fake_executor.h"
#include "tests/support/busybox_root.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"
#include "tools/engine/engine.h"

namespace {

using namespace cairn;
using solver::llb::State;
using solver::StepState;

template <class T>
T must(base::Result<T> result) {
  CHECK(result.has_value(), "{}", result.error().message);
  return std::move(*result);
}
void must(const base::Status& status) { CHECK(status.has_value(), "{}", status.error().message); }

double now_ms(clockid_t clock) {
  timespec time{};
  ::clock_gettime(clock, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
}

double median(std::vector<double>& values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), middle, values.end());
  return *middle;
}

// Wall and processor time of one part of the work, as medians over all rounds.
class Parts {
 public:
  template <class F>
  auto time(const std::string& part, const F& f) {
    const double wall = now_ms(CLOCK_MONOTONIC), cpu = now_ms(CLOCK_PROCESS_CPUTIME_ID);
    auto result = f();
    wall_[part].push_back(now_ms(CLOCK_MONOTONIC) - wall);
    cpu_[part].push_back(now_ms(CLOCK_PROCESS_CPUTIME_ID) - cpu);
    return result;
  }
  void report(benchmark::State& state) {
    for (auto& [part, values] : wall_) state.counters[part + "_ms"] = median(values);
    for (auto& [part, values] : cpu_) state.counters[part + "_cpu_ms"] = median(values);
  }

 private:
  std::map<std::string, std::vector<double>> wall_, cpu_;
};

// A store, an image to build on, and the graphs.
class Place {
 public:
  Place() {
    must(test::make_busybox_root(dir_ / "rootfs"));
    test::ImageSpec image;
    image.layer_tars = {test::tar_of(dir_ / "rootfs")};
    const auto manifest = test::write_layout(dir_ / "layout", image);
    base_ = solver::llb::oci_layout("base@" + manifest.str());
  }

  static std::vector<std::string> command(int number) {
    return {"write", "/", "file" + std::to_string(number), "x"};
  }
  std::string stacked(int steps) const {
    State chain = base_;
    for (int i = 0; i < steps; ++i) chain = chain.run(command(i)).root();
    return must(solver::llb::marshal(chain));
  }
  // Each step has the image as its root, and the tree of the step before beside it.
  std::string dependent(int steps) const {
    State last = base_;
    for (int i = 0; i < steps; ++i) {
      last = base_.run(command(i), {.mounts = {{.dest = "/in", .source = last, .read_only = true}}}).root();
    }
    return must(solver::llb::marshal(last));
  }
  // None needs another; one takes them all, a hundred at a time.
  std::string independent(int steps) const {
    State last = base_;
    for (int i = 0; i < steps;) {
      solver::llb::RunOptions options{.mounts = {{.dest = "/in", .source = last, .read_only = true}}};
      for (int group = 0; group < 100 && i < steps; ++group, ++i) {
        options.mounts.push_back(
            {.dest = "/in" + std::to_string(group), .source = base_.run(command(i)).root(), .read_only = true});
      }
      last = base_.run(command(steps + i), options).root();
    }
    return must(solver::llb::marshal(last));
  }
  State real_step(const State& on, int number) const {
    return on.run({"/bin/true", std::to_string(number)}, {.network = solver::wire::NetMode::host}).root();
  }
  const State& base_image() const { return base_; }
  base::HostPath scratch() const { return dir_.path(); }
  std::string rootfs() const { return (dir_ / "rootfs").str(); }

  solver::SolveRequest load(const std::string& definition) const {
    solver::SolveRequest request;
    request.definition = must(solver::load_definition(definition));
    request.allowed.host_network = true;
    request.oci_layouts.insert_or_assign("base", dir_ / "layout");
    return request;
  }

  // Solves with an executor that only writes; the store is closed again afterwards.
  void fill(const std::string& definition) const {
    const std::unique_ptr<engine::Engine> engine = open();
    solver::FakeExecutor::Script script;
    const base::SystemClock clock;
    solver::Solver solver(
        engine->cache(),
        [&]() -> base::Result<std::unique_ptr<solver::Executor>> { return std::make_unique<solver::FakeExecutor>(script); },
        clock, {});
    solver::NoProgress progress;
    const solver::SolveOutcome outcome = solver.solve(load(definition), progress, {});
    must(outcome.status);
  }
  std::unique_ptr<engine::Engine> open() const { return must(engine::Engine::open(engine::EngineOptions(dir_ / "store"))); }

 private:
  test::TempDir dir_;
  State base_;
};

// The most anonymous memory that this process had, above what it had when this began; looked at each millisecond.
class MemoryWatch {
 public:
  MemoryWatch() : base_(anonymous()), thread_([this](const std::stop_token& stop) {
      while (!stop.stop_requested()) {
        most_ = std::max(most_.load(), anonymous());
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
      }
    }) {}
  double most_mib() {
    thread_.request_stop();
    thread_.join();
    return static_cast<double>(std::max(most_.load(), base_) - base_) / (1 << 20);
  }

 private:
  static std::int64_t anonymous() {
    std::int64_t size = 0, resident = 0, shared = 0;  // in pages
    std::ifstream("/proc/self/statm") >> size >> resident >> shared;
    return (resident - shared) * ::sysconf(_SC_PAGESIZE);
  }
  std::int64_t base_;
  std::atomic<std::int64_t> most_{0};
  std::jthread thread_;
};

// How much of all cores' time something ran in; of the whole machine, so nothing else may run.
class BusyWatch {
 public:
  double share() const {
    const Times now;
    return static_cast<double>(now.busy - start_.busy) / static_cast<double>(now.all - start_.all);
  }

 private:
  struct Times {
    std::int64_t busy = 0, all = 0;
    Times() {
      std::ifstream stat("/proc/stat");
      std::string cpu;
      stat >> cpu;
      for (int field = 0; field < 8; ++field) {  // user nice system idle iowait irq softirq steal
        std::int64_t ticks = 0;
        stat >> ticks;
        all += ticks;
        if (field != 3 && field != 4) busy += ticks;
      }
    }
  };
  Times start_;
};

void solve_warm(benchmark::State& state, const std::string& definition, const Place& place) {
  place.fill(definition);
  Parts parts;
  const auto engine = parts.time("open", [&] { return place.open(); });
  solver::NoProgress progress;
  engine->snapshots().settle();  // deep chains are squashed in the background
  MemoryWatch memory;
  const engine::EngineCounts before = engine->counts();
  for (auto _ : state) {
    const solver::SolveRequest request = parts.time("load", [&] { return place.load(definition); });
    const solver::SolveOutcome outcome = parts.time("solve", [&] { return engine->solve(request, progress, {}); });
    must(outcome.status);
    CHECK(outcome.count(StepState::executed) == 0, "a step ran again");
  }
  const engine::EngineCounts after = engine->counts();
  parts.report(state);
  state.counters["memory_mib"] = memory.most_mib();
  const auto per_solve = [&](std::uint64_t engine::EngineCounts::*count) {
    return static_cast<double>(after.*count - before.*count) / static_cast<double>(state.iterations());
  };
  state.counters["processes"] = per_solve(&engine::EngineCounts::processes);
  state.counters["syncs"] = per_solve(&engine::EngineCounts::syncs);
  state.counters["reads"] = per_solve(&engine::EngineCounts::read_transactions);
  state.counters["tree_bytes"] = per_solve(&engine::EngineCounts::tree_bytes_read);
  CHECK(after.processes == before.processes && after.tree_bytes_read == before.tree_bytes_read, "a warm solve did what it must not");
  // The history of solves of many steps goes into its table now and then, behind their backs.
  CHECK(after.syncs - before.syncs <= (state.range(0) > 1'000 ? static_cast<std::uint64_t>(state.iterations()) / 2 : 0), "a warm solve syncs");
}

void warm_stacked(benchmark::State& state) {
  const Place place;
  solve_warm(state, place.stacked(static_cast<int>(state.range(0))), place);
}
BENCHMARK(warm_stacked)->Arg(100)->Arg(400)->Arg(1000)->Iterations(51)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void warm_flat_dependent(benchmark::State& state) {
  const Place place;
  solve_warm(state, place.dependent(static_cast<int>(state.range(0))), place);
}
BENCHMARK(warm_flat_dependent)->Arg(1000)->Arg(10'000)->Iterations(51)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void warm_flat_independent(benchmark::State& state) {
  const Place place;
  solve_warm(state, place.independent(static_cast<int>(state.range(0))), place);
}
BENCHMARK(warm_flat_independent)->Arg(1000)->Iterations(51)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// A store of as many records, closed well.
void open_store(benchmark::State& state) {
  const Place place;
  place.fill(place.stacked(static_cast<int>(state.range(0))));
  for (auto _ : state) {
    auto engine = place.open();
    state.PauseTiming();
    engine.reset();
    state.ResumeTiming();
  }
}
BENCHMARK(open_store)->Arg(10)->Arg(1000)->Iterations(21)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

// A step of a chain of ten, with its storage (fork, freeze, record, keys) and durable when the solve ends, against the
// same process in the bare runtime, in turns. The chain lies on an image and so many steps more.
void cold_step(benchmark::State& state) {
  const Place place;
  const auto executor = must(solver::open_executor({"", place.scratch() / "probe"}));
  const bench::BareRuntime bare(place.scratch(), place.rootfs(), executor->name());
  std::vector<double> step_ms, bare_ms;
  const auto engine = place.open();
  solver::NoProgress progress;
  const auto solve = [&](const State& wanted) {
    const solver::SolveRequest request = place.load(must(solver::llb::marshal(wanted)));
    return engine->solve(request, progress, {});
  };
  State below = place.real_step(place.base_image(), 0);
  for (int i = 1; i < state.range(0); ++i) below = place.real_step(below, -i);
  must(solve(below).status);  // unpacks the image and probes the runtime
  if (state.range(0) < 2) below = place.base_image();
  const std::uint64_t syncs = engine->counts().syncs;
  int number = 0;
  for (auto _ : state) {
    State chain = below;
    for (int i = 0; i < 10; ++i) chain = place.real_step(chain, ++number);
    const double start = now_ms(CLOCK_MONOTONIC);
    const solver::SolveOutcome outcome = solve(chain);
    const double between = now_ms(CLOCK_MONOTONIC);
    must(outcome.status);
    CHECK(outcome.count(StepState::executed) == 10);
    for (int i = 0; i < 10; ++i) bare.run();
    step_ms.push_back((between - start) / 10);
    bare_ms.push_back((now_ms(CLOCK_MONOTONIC) - between) / 10);
  }
  state.SetItemsProcessed(number);
  state.counters["step_ms"] = median(step_ms);
  state.counters["bare_ms"] = median(bare_ms);
  state.counters["over_bare_ms"] = median(step_ms) - median(bare_ms);
  state.counters["syncs_per_step"] = static_cast<double>(engine->counts().syncs - syncs) / number;
}
BENCHMARK(cold_step)->Arg(0)->Arg(200)->Iterations(21)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

void cold_independent(benchmark::State& state) {
  const Place place;
  const auto engine = place.open();
  solver::NoProgress progress;
  must(engine->solve(place.load(must(solver::llb::marshal(place.real_step(place.base_image(), -1)))), progress, {}).status);
  int number = 0;
  std::vector<double> busy;
  for (auto _ : state) {
    solver::llb::RunOptions options{.network = solver::wire::NetMode::host};
    for (int i = 0; i < state.range(0); ++i) {
      options.mounts.push_back({.dest = "/in" + std::to_string(i),
                                .source = place.real_step(place.base_image(), number++),
                                .read_only = true,
                                .content_cache = solver::wire::ContentCache::off});
    }
    const State all = place.base_image().run({"/bin/true", "all", std::to_string(number)}, options).root();
    const solver::SolveRequest request = place.load(must(solver::llb::marshal(all)));
    const BusyWatch watch;
    const solver::SolveOutcome outcome = engine->solve(request, progress, {});
    busy.push_back(watch.share());
    must(outcome.status);
    CHECK(outcome.count(StepState::executed) == static_cast<std::size_t>(state.range(0)) + 1);
  }
  state.SetItemsProcessed(number);
  state.counters["busy"] = median(busy);
}
BENCHMARK(cold_independent)->Arg(100)->Arg(1000)->Iterations(5)->UseRealTime()->MeasureProcessCPUTime()->Unit(benchmark::kMillisecond);

}  // namespace

int main(int count, char** values) {
  bench::enter_private_mounts();
  benchmark::Initialize(&count, values);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
