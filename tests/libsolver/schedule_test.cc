// SPDX-License-Identifier: Apache-2.0
// What runs at one time, what runs once, and how a solve ends.
#include <gmock/gmock.h>

#include "libsolver/wire/codec.h"
#include "tests/libsolver/solver_fixture.h"
#include "tests/libsolver_wire/support.h"

namespace cairn::solver {
namespace {

using llb::State;
using ::testing::HasSubstr;

// A step that takes both trees.
State both(const State& a, const State& b) {
  return State().run({"write", "/", "both", "x"}, {.mounts = {{.dest = "/a", .source = a, .read_only = true},
                                                               {.dest = "/b", .source = b, .read_only = true}}}).root();
}

class ScheduleTest : public SolverTest {
 protected:
  // A program that ends when `go_` is set or it is asked to stop.
  void add_held(const std::string& name) {
    script_.programs[name] = [this](const ExecRequest& request, std::stop_token stop) -> base::Result<ExecExit> {
      ++running_;
      const bool ended = eventually([&] { return go_ || stop.stop_requested(); });
      --running_;
      if (!ended || stop.stop_requested()) return base::fail(base::ErrorCode::cancelled, "killed");
      TRY(FakeExecutor::write_file(request, "/", "held", "x"));
      return ExecExit{};
    };
  }
  std::atomic<int> running_{0};
  std::atomic<bool> go_{false};
};

TEST_F(ScheduleTest, IndependentStepsRunAtOneTime) {
  add_held("hold");
  std::jthread opener([this] {
    EXPECT_TRUE(eventually([this] { return running_ == 2; }));
    go_ = true;
  });
  EXPECT_EQ(executed(both(State().run({"hold", "1"}).root(), State().run({"hold", "2"}).root())), 3u);
}

TEST_F(ScheduleTest, DependentStepsRunInTheirOrder) {
  State chain;
  for (int i = 0; i < 10; ++i) chain = chain.run(write("file" + std::to_string(i), "x")).root();
  SolveOutcome outcome = solve(chain);
  ASSERT_OK(outcome.status);
  EXPECT_EQ(outcome.count(StepState::executed), 10u);
  for (int i = 0; i < 10; ++i) {
    EXPECT_EQ((*script_.log.lock())[i][2], "file" + std::to_string(i));
    EXPECT_EQ(store_.read(*outcome.result, "file" + std::to_string(i)), "x");
  }
  EXPECT_EQ(sink_.steps, 10u);
  EXPECT_EQ(sink_.started, 10u);
  EXPECT_EQ(sink_.finished, 10u);
  EXPECT_EQ(sink_.outputs, 10u);
}

TEST_F(ScheduleTest, EqualStepsOfTwoSolvesRunOnce) {
  add_held("hold");
  const SolveRequest wanted = request(State().run({"hold"}).root().run(write("after", "x")).root());
  CountingSink sinks[2];
  SolveOutcome outcomes[2];
  {
    std::vector<std::jthread> solves;
    for (int i = 0; i < 2; ++i) {
      solves.emplace_back([&, i] { outcomes[i] = solver_->solve(wanted, sinks[i], {}); });
    }
    EXPECT_TRUE(eventually([&] { return sinks[0].started == 1 && sinks[1].started == 1; }));
    go_ = true;
  }
  for (SolveOutcome& outcome : outcomes) ASSERT_OK(outcome.status);
  EXPECT_EQ(runs_of("hold"), 1u);
  EXPECT_EQ(runs_of("write"), 1u) << "the second to come there joins or hits";
  EXPECT_EQ(outcomes[0].result->id(), outcomes[1].result->id());
  EXPECT_EQ(solver_->counts().ops_executed, 2u);
}

TEST_F(ScheduleTest, AFailureStopsTheOthersAndNamesTheStep) {
  add_held("hold");
  script_.programs["fail"] = [this](const ExecRequest&, std::stop_token) -> base::Result<ExecExit> {
    EXPECT_TRUE(eventually([this] { return running_ == 1; }));
    return ExecExit{.code = 3, .valid = false, .note = {}};
  };
  const SolveOutcome outcome = solve(both(State().run({"hold"}).root(), State().run({"fail"}).root()));
  ASSERT_FALSE(outcome.status);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("fail"));
  EXPECT_THAT(outcome.status.error().message, HasSubstr("exit code: 3"));
  EXPECT_EQ(running_, 0);
  EXPECT_EQ(outcome.count(StepState::failed), 1u);
  EXPECT_EQ(outcome.count(StepState::cancelled), 2u);
  EXPECT_FALSE(outcome.result);
  EXPECT_EQ(records(), 0u) << "nothing half-made stays";
  EXPECT_EQ(runs_of("write"), 0u);
}

TEST_F(ScheduleTest, AStepThatFailedRunsAgain) {
  std::atomic<int> times{0};
  script_.programs["flaky"] = [&](const ExecRequest&, std::stop_token) -> base::Result<ExecExit> {
    return ExecExit{.code = times == 0 ? 1 : 0, .valid = times++ != 0, .note = {}};
  };
  const State state = State().run({"flaky"}).root();
  EXPECT_FALSE(solve(state).status);
  EXPECT_EQ(executed(state), 1u);
  EXPECT_EQ(executed(state), 0u);
}

TEST_F(ScheduleTest, NothingIsHeldAfterASolve) {
  script_.programs["fail"] = [](const ExecRequest&, std::stop_token) -> base::Result<ExecExit> {
    return ExecExit{.code = 3, .valid = false, .note = {}};
  };
  for (int round = 0; round < 50; ++round) {
    const std::string name = std::to_string(round);
    const auto reading = [](const State& input, const std::vector<std::string>& args) {
      return State().run(args, {.mounts = {{.dest = "/in", .source = input, .read_only = true}}}).root();
    };
    const State good = reading(State().run(write("a" + name, name)).root(), write("b" + name, name));
    ASSERT_OK(solve(good).status);
    ASSERT_FALSE(solve(reading(good, {"fail", name})).status);
    must(store_.cache->prune({.all = true}));
    ASSERT_EQ(records(), 0u) << "round " << round;
  }
}

TEST_F(ScheduleTest, AStopRequestEndsEverything) {
  add_held("hold");
  std::stop_source stop;
  std::jthread stopper([&] {
    EXPECT_TRUE(eventually([this] { return running_ == 1; }));
    stop.request_stop();
  });
  const SolveOutcome outcome = solve(request(State().run({"hold"}).root().run(write("a", "b")).root()), stop.get_token());
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, base::ErrorCode::cancelled);
  EXPECT_EQ(outcome.count(StepState::cancelled), 2u);
  EXPECT_EQ(running_, 0);
  EXPECT_EQ(records(), 0u);
}

TEST_F(ScheduleTest, AStopBeforeTheBeginningRunsNothing) {
  std::stop_source stop;
  stop.request_stop();
  const SolveOutcome outcome = solve(request(State().run(write("a", "b")).root()), stop.get_token());
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, base::ErrorCode::cancelled);
}

TEST_F(ScheduleTest, OneSolvesStopLeavesTheStepToAnother) {
  add_held("hold");
  const SolveRequest wanted = request(State().run({"hold"}).root());
  std::stop_source stop;
  CountingSink sinks[2];
  SolveOutcome stopped, served;
  {
    std::jthread first([&] { stopped = solver_->solve(wanted, sinks[0], stop.get_token()); });
    std::jthread second([&] { served = solver_->solve(wanted, sinks[1], {}); });
    EXPECT_TRUE(eventually([&] { return sinks[0].started == 1 && sinks[1].started == 1; }));
    stop.request_stop();
    first.join();
    EXPECT_FALSE(go_);
    go_ = true;
  }
  EXPECT_EQ(stopped.status.error().code, base::ErrorCode::cancelled);
  ASSERT_OK(served.status);
  EXPECT_EQ(runs_of("hold"), 1u);
}

TEST_F(ScheduleTest, AStepWithSeveralOutputsRunsOnceForAllOfThem) {
  script_.programs["two"] = [](const ExecRequest& request, std::stop_token) -> base::Result<ExecExit> {
    TRY(FakeExecutor::write_file(request, "/one", "file", "first"));
    TRY(FakeExecutor::write_file(request, "/two", "file", "second"));
    return ExecExit{};
  };
  const auto step = State().run({"two"}, {.mounts = {{.dest = "/one"}, {.dest = "/two"}}});
  EXPECT_EQ(executed(both(step.mount_output("/one"), step.mount_output("/two"))), 2u);
  EXPECT_EQ(runs_of("two"), 1u);
  for (const auto& [dest, text] : {std::pair("/one", "first"), std::pair("/two", "second")}) {
    const SolveOutcome outcome = solve(step.mount_output(dest));
    ASSERT_OK(outcome.status);
    EXPECT_EQ(outcome.count(StepState::executed), 0u);
    EXPECT_EQ(store_.read(*outcome.result, "file"), text);
  }
}

TEST_F(ScheduleTest, AnOutputThatNobodyTookIsFoundLater) {
  const auto step = State().run({"write", "/one", "file", "x"}, {.mounts = {{.dest = "/one"}, {.dest = "/two"}}});
  EXPECT_EQ(executed(step.mount_output("/one")), 1u);
  EXPECT_EQ(executed(step.mount_output("/two")), 0u);
}

TEST_F(ScheduleTest, AnOutputThatAStepDoesNotHaveIsAnError) {
  const std::string step = wire::encode(test::source_op("local://src"));
  put_local("a", "a");
  const std::string exec = wire::encode(test::exec_op(test::digest_text(step), write("a", "b")));
  const SolveOutcome outcome =
      solve(request_of(test::definition_of({step, exec, wire::encode(test::head_op(test::digest_text(exec), 7))})));
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, base::ErrorCode::invalid_argument);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("output 7"));
  EXPECT_EQ(script_.runs, 0u);
}

TEST_F(ScheduleTest, ADefinitionWithoutOpsIsScratch) {
  const SolveOutcome outcome = solve(State());
  ASSERT_OK(outcome.status);
  EXPECT_FALSE(outcome.result);
  EXPECT_TRUE(outcome.steps.empty());
}

// A read-only mount over nothing, with an output: its result is the empty tree, and that is remembered.
TEST_F(ScheduleTest, AStepMayHaveScratchAsItsResult) {
  wire::ExecOp exec;
  exec.meta.emplace().args = write("a", "b");
  exec.meta->cwd = "/";
  wire::Mount& root = exec.mounts.emplace_back();
  root.dest = "/";
  root.input = wire::no_input;
  wire::Mount& nothing = exec.mounts.emplace_back();
  nothing.dest = "/nothing";
  nothing.input = wire::no_input;
  nothing.output = 1;
  nothing.readonly = true;
  wire::Op op;
  op.op = exec;
  const std::string bytes = wire::encode(op);
  const SolveRequest wanted =
      request_of(test::definition_of({bytes, wire::encode(test::head_op(test::digest_text(bytes), 1))}));
  for (const std::size_t expected : {1u, 0u}) {
    const SolveOutcome outcome = solve(wanted);
    ASSERT_OK(outcome.status);
    EXPECT_FALSE(outcome.result);
    EXPECT_EQ(outcome.count(StepState::executed), expected);
  }
}

TEST_F(ScheduleTest, AnExecutorThatCannotBeOpenedFailsTheStep) {
  Solver solver(
      *store_.cache,
      []() -> base::Result<std::unique_ptr<Executor>> { return base::fail(base::ErrorCode::unavailable, "no runtime here"); },
      clock_, {});
  const SolveOutcome outcome = solver.solve(request(State().run(write("a", "b")).root()), sink_, {});
  ASSERT_FALSE(outcome.status);
  EXPECT_EQ(outcome.status.error().code, base::ErrorCode::unavailable);
  EXPECT_THAT(outcome.status.error().message, HasSubstr("no runtime here"));
}

}  // namespace
}  // namespace cairn::solver
