// SPDX-License-Identifier: Apache-2.0
// What a step costs above its runtime: Executor::run() of /bin/true against the bare runtime on a bundle of the same
// content, in turns, so that whatever else the machine does meets both. Then steps a second from several threads.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "bench/scenarios/bare_runtime.h"
#include "libbase/fs/fd.h"
#include "libsolver/executor.h"

namespace {

namespace base = cairn::base;
namespace solver = cairn::solver;
using Clock = std::chrono::steady_clock;

double ms_since(Clock::time_point start) {
  return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
}

double median(std::vector<double> values) {
  std::nth_element(values.begin(), values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2), values.end());
  return values[values.size() / 2];
}

// A root with one static program, an executor, and a bundle for the bare runtime.
class Place {
 public:
  explicit Place(const std::string& runtime = "") : dir_(make_root(make_dir())), executor_(open(dir_, runtime)) {
    tree_ = mount(dir_ + "/root");
    bare_.emplace(base::HostPath::parse(dir_).value(), dir_ + "/root", executor_->name());
  }
  ~Place() {
    executor_.reset();
    std::filesystem::remove_all(dir_);
  }

  void run_step(const cairn::snapshot::MountedTree& tree) {
    const auto request = cairn::bench::true_request("step-" + std::to_string(next_id_++), &tree);
    const auto exit = executor_->run(request, [](solver::Stream, std::string_view) {}, {});
    CHECK(exit && exit->code == 0, "{}", exit ? "exit code" : exit.error().message);
  }
  void run_bare() const { bare_->run(); }
  const cairn::snapshot::MountedTree& tree() const { return *tree_; }
  std::unique_ptr<cairn::snapshot::MountedTree> copy_tree(int number) {
    const std::string to = dir_ + "/root-" + std::to_string(number);
    if (!std::filesystem::exists(to)) copy(dir_ + "/root", to);
    return mount(to);
  }

 private:
  static std::string make_root(std::string dir) {
    std::filesystem::create_directories(dir + "/root/bin");
    copy("/bin/busybox", dir + "/root/bin/true");
    return dir;
  }
  // By another process: what this one forks meanwhile would hold a program open for writing, and then nobody may execute it.
  static void copy(const std::string& from, const std::string& to) { CHECK(std::system(("cp -a " + from + " " + to).c_str()) == 0); }
  static std::string make_dir() {
    const char* top = std::getenv("TMPDIR");
    std::string name = std::string(top != nullptr ? top : "/tmp") + "/cairn-bench-XXXXXX";
    CHECK(::mkdtemp(name.data()) != nullptr);
    return name;
  }
  static std::unique_ptr<solver::Executor> open(const std::string& dir, const std::string& runtime) {
    auto executor = solver::open_executor({runtime, base::HostPath::parse(dir + "/state").value()});
    CHECK(executor.has_value(), "{}", executor.error().message);
    return std::move(*executor);
  }
  static std::unique_ptr<cairn::snapshot::MountedTree> mount(const std::string& dir) {
    base::Fd fd(::open_tree(AT_FDCWD, dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
    CHECK(static_cast<bool>(fd), "mount {}", dir);
    return std::make_unique<cairn::snapshot::MountedTree>(std::move(fd));
  }

  const std::string dir_;
  std::unique_ptr<solver::Executor> executor_;
  std::unique_ptr<cairn::snapshot::MountedTree> tree_;
  std::optional<cairn::bench::BareRuntime> bare_;
  std::atomic<int> next_id_{0};
};

void step_against_bare_runtime(benchmark::State& state) {
  Place place;
  std::vector<double> steps, bare;
  for (auto _ : state) {
    const auto start = Clock::now();
    place.run_step(place.tree());
    steps.push_back(ms_since(start));
    const auto between = Clock::now();
    place.run_bare();
    bare.push_back(ms_since(between));
  }
  state.counters["step_ms"] = median(steps);
  state.counters["bare_ms"] = median(bare);
  state.counters["ratio"] = median(steps) / median(bare);
}
BENCHMARK(step_against_bare_runtime)->Unit(benchmark::kMillisecond)->Iterations(100)->UseRealTime();

// The same step in both kinds of sandbox, in turns.
void step_in_bubblewrap_against_crun(benchmark::State& state) {
  Place bubblewrap("bubblewrap"), crun("crun");
  std::vector<double> ours, other;
  for (auto _ : state) {
    const auto start = Clock::now();
    bubblewrap.run_step(bubblewrap.tree());
    ours.push_back(ms_since(start));
    const auto between = Clock::now();
    crun.run_step(crun.tree());
    other.push_back(ms_since(between));
  }
  state.counters["bubblewrap_ms"] = median(ours);
  state.counters["crun_ms"] = median(other);
  state.counters["ratio"] = median(ours) / median(other);
}
BENCHMARK(step_in_bubblewrap_against_crun)->Unit(benchmark::kMillisecond)->Iterations(100)->UseRealTime();

void steps_at_once(benchmark::State& state) {
  Place place;
  const int threads = static_cast<int>(state.range(0));
  constexpr int steps_each = 10;
  for (auto _ : state) {
    std::vector<std::jthread> runners;
    for (int number = 0; number < threads; ++number) {
      runners.emplace_back([&place, number] {
        const auto tree = place.copy_tree(number);
        for (int i = 0; i < steps_each; ++i) place.run_step(*tree);
      });
    }
  }
  state.SetItemsProcessed(state.iterations() * threads * steps_each);
}
BENCHMARK(steps_at_once)->Arg(1)->Arg(2)->Arg(8)->Unit(benchmark::kMillisecond)->Iterations(3)->UseRealTime();

}  // namespace

int main(int count, char** values) {
  cairn::bench::enter_private_mounts();
  benchmark::Initialize(&count, values);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
