// SPDX-License-Identifier: Apache-2.0
// A solver over a real store, with an executor that runs functions.
#pragma once

#include <chrono>
#include <fstream>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

#include "libbase/clock.h"
#include "libsolver/llb.h"
#include "libsolver/solver.h"
#include "tests/libcache/store_fixture.h"
#include "tests/libsolver/fake_executor.h"

namespace cairn::solver {

using cache::must;

// Waits for what another thread will do. The bound is there only so that a failing test ends.
inline bool eventually(const std::function<bool()>& holds) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!holds()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// Counts what a solve says.
struct CountingSink final : ProgressSink {
  void on_graph(std::span<const StepInfo> infos) override { steps = infos.size(); }
  void on_started(std::size_t) override { ++started; }
  void on_output(std::size_t, Stream, std::string_view) override { ++outputs; }
  void on_bytes(std::size_t, std::uint64_t, std::uint64_t) override {}
  void on_finished(std::size_t, StepState, std::chrono::nanoseconds, std::string_view) override { ++finished; }
  std::atomic<std::size_t> steps{0}, started{0}, outputs{0}, finished{0};
};

class SolverTest : public ::testing::Test {
 protected:
  explicit SolverTest(std::size_t parallelism = 4)
      : solver_(std::make_unique<Solver>(
            *store_.cache,
            [this]() -> base::Result<std::unique_ptr<Executor>> { return std::make_unique<FakeExecutor>(script_); },
            clock_, SolverOptions{.parallelism = parallelism})) {}

  static std::vector<std::string> write(const std::string& path, const std::string& text, const std::string& dest = "/") {
    return {"write", dest, path, text};
  }
  SolveRequest request(const llb::State& state) { return request_of(must(llb::marshal(state, {.local_unique_id = "test"}))); }
  SolveRequest request_of(const std::string& definition) {
    SolveRequest made;
    made.definition = must(load_definition(definition));
    made.locals = locals_;
    return made;
  }
  SolveOutcome solve(const SolveRequest& request, std::stop_token stop = {}) {
    return solver_->solve(request, sink_, std::move(stop));
  }
  SolveOutcome solve(const llb::State& state) { return solve(request(state)); }
  // Solves what must succeed, and says how many steps ran.
  std::size_t executed(const SolveRequest& request) {
    const SolveOutcome outcome = solve(request);
    EXPECT_TRUE(outcome.status) << outcome.status.error().message;
    EXPECT_EQ(outcome.not_cached, "");
    EXPECT_EQ(outcome.steps.size(), request.definition.vertices.size());
    EXPECT_EQ(outcome.count(StepState::executed) + outcome.count(StepState::cached), outcome.steps.size());
    return outcome.count(StepState::executed);
  }
  std::size_t executed(const llb::State& state) { return executed(request(state)); }

  std::size_t records() {
    std::size_t count = 0;
    must(store_.cache->each_record([&](const cache::RecordInfo&) -> base::Status {
      ++count;
      return {};
    }));
    return count;
  }
  std::size_t runs_of(const std::string& program) {
    auto log = script_.log.lock();
    return static_cast<std::size_t>(
        std::count_if(log->begin(), log->end(), [&](const auto& args) { return args.front() == program; }));
  }
  void put_local(const std::string& file, const std::string& text) {
    const auto dir = local_dir_.path();
    locals_.insert_or_assign("src", dir);
    std::ofstream(dir.str() + "/" + file, std::ios::trunc) << text;
  }
  void reopen() {  // as a new process would
    solver_.reset();
    store_.reopen();
    solver_ = std::make_unique<Solver>(
        *store_.cache,
        [this]() -> base::Result<std::unique_ptr<Executor>> { return std::make_unique<FakeExecutor>(script_); },
        clock_, SolverOptions{.parallelism = 4});
  }

  base::SystemClock clock_;
  cache::OpenStore store_;
  cairn::test::TempDir local_dir_;
  std::map<std::string, base::HostPath> locals_;
  FakeExecutor::Script script_;
  CountingSink sink_;
  std::unique_ptr<Solver> solver_;
};

}  // namespace cairn::solver
