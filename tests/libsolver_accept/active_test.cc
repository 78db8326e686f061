// SPDX-License-Identifier: Apache-2.0
// What runs at one time, what runs once, what merges, and how a solve ends. Named for the tests of BuildKit's scheduler.
#include <gmock/gmock.h>

#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(, solver, ::testing::Values(Keys::local, Keys::memory), name_of_keys);

// The same step wanted by two jobs at one time is asked what it is once, and runs once; afterwards nothing is left of it.
TEST_P(solver, single_level_active_graph) {
  Gate map, exec;
  const FakeStepPtr shared = step("v0", "seed0", "result0");
  shared->on_map = at(map);
  shared->on_execute = at(exec);
  shared->outputs = 2;
  {
    Job one = start(shared), two = start(shared);
    map.wait_arrived();
    map.open();
    exec.wait_arrived();
    exec.open();
    EXPECT_EQ(one.value(), "result0");
    EXPECT_EQ(two.value(), "result0");
  }
  EXPECT_EQ(shared->executions, 1);
  EXPECT_EQ(records_after_prune(), 0u) << "nobody holds it any more";

  const FakeStepPtr other = step("v1", "seed1", "result1");
  EXPECT_EQ(build(shared, 1), "result0#1") << "another output is another result";
  EXPECT_EQ(build(other), "result1") << "another digest is another step";
  EXPECT_EQ(shared->executions, 2) << "and it can be used again";
}

// Who comes while a step is being asked what it is waits for that answer.
TEST_P(solver, single_level_active_graph_asks_once) {
  Gate map;
  const FakeStepPtr shared = step("v0", "seed0", "result0");
  shared->on_map = at(map);
  std::atomic<int> started{0};
  struct Started final : ProgressSink {
    explicit Started(std::atomic<int>& count) : count_(count) {}
    void on_graph(std::span<const StepInfo>) override {}
    void on_started(std::size_t) override { ++count_, count_.notify_all(); }
    void on_output(std::size_t, Stream, std::string_view) override {}
    void on_bytes(std::size_t, std::uint64_t, std::uint64_t) override {}
    void on_finished(std::size_t, StepState, std::chrono::nanoseconds, std::string_view) override {}
    std::atomic<int>& count_;
  };
  std::vector<std::future<SolveOutcome>> jobs;
  for (int i = 0; i < 2; ++i) {
    jobs.push_back(std::async(std::launch::async, [&] {
      Started sink(started);
      SolveRequest request;
      request.definition = graph_.define(shared);
      return solver_->solve(request, sink, {});
    }));
  }
  for (int seen = started; seen < 2; seen = started) started.wait(seen);
  map.open();
  for (auto& job : jobs) EXPECT_EQ(value_of(job.get().result), "result0");
  EXPECT_EQ(shared->maps, 1);
  EXPECT_EQ(shared->executions, 1);
}

TEST_P(solver, single_level_cache_parallel) {
  Gate map, exec;
  const FakeStepPtr a = step("v0", "seed0", "result0"), b = step("v1", "seed0", "result0");
  for (const FakeStepPtr& each : {a, b}) {
    each->on_map = at(map);
    each->on_execute = at(exec);
  }
  Job one = start(a), two = start(b);
  map.wait_arrived(2);
  map.open();
  exec.wait_arrived();
  exec.open();
  EXPECT_EQ(one.value(), "result0");
  EXPECT_EQ(two.value(), "result0");
  EXPECT_EQ(a->executions + b->executions, 1);
}

TEST_P(solver, multi_level_cache_parallel) {
  Gate map;
  std::vector<FakeStepPtr> base, top;
  std::vector<Job> jobs;
  for (const std::string name : {"one", "two"}) {
    base.push_back(step("base-" + name, "seed0", "base"));
    base.back()->on_map = at(map);
    top.push_back(step("top-" + name, "seed1", "top", {{base.back()}}));
  }
  for (const FakeStepPtr& each : top) jobs.push_back(start(each));
  map.wait_arrived(2);
  map.open();
  for (Job& job : jobs) EXPECT_EQ(job.value(), "top");
  EXPECT_EQ(base[0]->executions + base[1]->executions, 1);
  EXPECT_EQ(top[0]->executions + top[1]->executions, 1);
}

TEST_P(solver, single_cancel_cache) {
  Gate never;
  const FakeStepPtr held = step("v0", "seed0", "result0");
  held->on_map = at(never);
  Job job = start(held);
  never.wait_arrived();
  job.stop.request_stop();
  EXPECT_EQ(job.outcome.get().status.error().code, base::ErrorCode::cancelled);
  EXPECT_EQ(held->executions, 0);
}

TEST_P(solver, single_cancel_exec) {
  Gate never;
  const FakeStepPtr held = step("v0", "seed0", "result0");
  held->on_execute = at(never);
  Job job = start(held);
  never.wait_arrived();
  job.stop.request_stop();
  EXPECT_EQ(job.outcome.get().status.error().code, base::ErrorCode::cancelled) << "and what ran has ended";
  EXPECT_EQ(records(), 0u);
}

TEST_P(solver, single_cancel_parallel) {
  Gate gate;
  const FakeStepPtr held = step("v0", "seed0", "result0");
  held->on_execute = at(gate);
  Job one = start(held);
  gate.wait_arrived();
  Job two = start(held);
  one.stop.request_stop();
  EXPECT_EQ(one.outcome.get().status.error().code, base::ErrorCode::cancelled);
  gate.open();
  EXPECT_EQ(two.value(), "result0");
}

TEST_P(solver, multi_level_calculation) {
  const auto graph = [&](const std::string& tag) {
    const FakeStepPtr one = number("one" + tag, 1), seven = number("seven" + tag, 7), two = number("two" + tag, 2);
    const FakeStepPtr inner = sum("inner" + tag, 1, {{one}, {seven}});
    const FakeStepPtr middle = sum("middle" + tag, 2, {{inner}, {one}});
    return std::pair(sum("top" + tag, 3, {{middle}, {inner}, {two}, {one}}), one);
  };
  const auto [top, shared] = graph("-a");
  EXPECT_EQ(build(top), "27");  // inner 9, middle 12, top 12 + 9 + 2 + 1 + 3
  EXPECT_EQ(shared->executions, 1);
  const auto [again, unused] = graph("-b");
  EXPECT_EQ(build(again), "27");
  EXPECT_EQ(again->executions + unused->executions, 0);
}

TEST_P(solver, parallel_inputs) {
  Gate gates[2];
  const FakeStepPtr a = step("a", "a", "1"), b = step("b", "b", "2");
  // Each lets the other go: one after the other would never end.
  a->on_execute = [&](std::stop_token stop) {
    gates[1].open();
    return at(gates[0])(std::move(stop));
  };
  b->on_execute = [&](std::stop_token stop) {
    gates[0].open();
    return at(gates[1])(std::move(stop));
  };
  EXPECT_EQ(build(sum("sum", 0, {{a}, {b}})), "3");
}

TEST_P(solver, error_returns) {
  for (const bool in_map : {true, false}) {
    Gate never;
    std::atomic<bool> stopped{false};
    const std::string tag = in_map ? "map" : "execute";
    const FakeStepPtr held = step("held " + tag, "held " + tag, "x"), good = step("good " + tag, "good " + tag, "y");
    held->on_execute = [&](std::stop_token stop) {
      const base::Status passed = at(never)(std::move(stop));
      stopped = !passed;
      return passed;
    };
    const FakeStepPtr bad = step("bad " + tag, "bad " + tag, "z");
    const Hook fail = [&](std::stop_token) -> base::Status {
      never.wait_arrived();
      return base::fail(base::ErrorCode::io, "test error from {}", tag);
    };
    (in_map ? bad->on_map : bad->on_execute) = fail;
    const FakeStepPtr top = step("top " + tag, "top", "top", {{held}, {good}, {bad}});
    if (in_map) held->on_map = held->on_execute;  // nothing runs before all have said what they are
    const SolveOutcome outcome = solve(top);
    ASSERT_FALSE(outcome.status);
    EXPECT_THAT(outcome.status.error().message, HasSubstr("test error from " + tag));
    EXPECT_THAT(outcome.status.error().message, HasSubstr("bad"));
    EXPECT_TRUE(stopped) << "the other input was cancelled";
    EXPECT_EQ(top->executions, 0);
  }
}

TEST_P(solver, merged_edges_lookup) {
  for (int round = 0; round < 20; ++round) {
    const std::string tag = "-" + std::to_string(round);
    // Two names for each level of one chain, used crosswise.
    const FakeStepPtr base1 = step("base1" + tag, "base" + tag, "1"), base2 = step("base2" + tag, "base" + tag, "1");
    const FakeStepPtr mid1 = sum("mid1" + tag, 1, {{base1}}), mid2 = sum("mid2" + tag, 1, {{base2}});
    const FakeStepPtr top = sum("top" + tag, 0, {{mid1}, {mid2}, {base1}, {base2}});
    EXPECT_EQ(build(top), "6");
    EXPECT_EQ(base1->executions + base2->executions, 1);
    EXPECT_EQ(mid1->executions + mid2->executions, 1);
    const FakeStepPtr again = sum("again" + tag, 0, {{mid2}, {mid1}, {base2}, {base1}});
    EXPECT_EQ(build(again), "6");
    EXPECT_EQ(again->executions, 0) << "found by the keys of the merged ones";
  }
}

// a1 ← b1 and b2 ← a2: if a1 waited for a2 and b2 for b1, all would wait for ever.
TEST_P(solver, merged_edges_cycle) {
  const FakeStepPtr base = number("base", 1);
  const auto same = [&](const FakeStepPtr& of) { return by_content(of, "same content"); };
  const FakeStepPtr a1 = step("a1", "a", "5", {same(base)});
  const FakeStepPtr b1 = step("b1", "b", "7", {same(a1)});
  const FakeStepPtr b2 = step("b2", "b", "7", {same(base)});
  const FakeStepPtr a2 = step("a2", "a", "5", {same(b2)});
  EXPECT_EQ(build(sum("top", 0, {{b1}, {a2}})), "12");
  EXPECT_EQ(a1->executions + a2->executions, 1);
  EXPECT_EQ(b1->executions + b2->executions, 1);
}

TEST_P(solver, merged_edges_cycle_multiple_owners) {
  const FakeStepPtr base = number("base", 1);
  const auto same = [&](const FakeStepPtr& of) { return by_content(of, "same content"); };
  std::vector<FakeInput> ends;
  std::vector<FakeStepPtr> all;
  for (const std::string order : {"abc", "bca", "cab", "acb"}) {
    FakeStepPtr last = base;
    for (const char which : order) {
      last = step(order + which, std::string(1, which), "1", {same(last)});
      all.push_back(last);
    }
    ends.push_back({last});
  }
  EXPECT_EQ(build(sum("top", 0, ends)), "4");
  std::map<std::string, int> executions;
  for (const FakeStepPtr& each : all) executions[each->seeds.front()] += each->executions;
  EXPECT_EQ(executions, (std::map<std::string, int>{{"a", 1}, {"b", 1}, {"c", 1}}));
}

// The one that another was merged into is given up by its job; the other still gets a result.
TEST_P(solver, stale_edge_merge) {
  Gate gate;
  const FakeStepPtr first = step("first", "seed", "result"), second = step("second", "seed", "result");
  for (const FakeStepPtr& each : {first, second}) each->on_execute = at(gate);
  Job one = start(first);
  gate.wait_arrived();
  Job two = start(sum("number of second", 0, {{second}}));
  Job three = start(second);
  one.stop.request_stop();
  EXPECT_FALSE(one.outcome.get().status);
  two.stop.request_stop();
  EXPECT_FALSE(two.outcome.get().status);
  gate.open();
  EXPECT_EQ(three.value(), "result");
}

// Requests that grow while edges merge leave nobody waiting.
TEST_P(solver, input_request_deadlock) {
  for (int round = 0; round < 10; ++round) {
    const std::string tag = std::to_string(round);
    const FakeStepPtr base1 = step("base1-" + tag, "base" + tag, "1"), base2 = step("base2-" + tag, "base" + tag, "1");
    const FakeStepPtr other = step("other-" + tag, "other" + tag, "2");
    const FakeStepPtr left = step("left-" + tag, "mid", "3", {by_content(base1, "c" + tag), {other}});
    const FakeStepPtr right = step("right-" + tag, "mid", "3", {by_content(base2, "c" + tag), {other}});
    Job one = start(sum("one-" + tag, 1, {{left}, {base2}}));
    Job two = start(sum("two-" + tag, 2, {{right}, {base1}, {left}}));
    EXPECT_EQ(one.value(), "5");
    EXPECT_EQ(two.value(), "9");
    EXPECT_EQ(left->executions + right->executions, 1);
  }
}

TEST_P(solver, unknown_build_id) {
  const base::Status stopped = solver_->stop("nobody");
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, base::ErrorCode::not_found);
  EXPECT_THAT(stopped.error().message, HasSubstr("no such job"));
}

TEST_P(solver, known_build_id) {
  Gate never;
  const FakeStepPtr held = step("held", "held", "x");
  held->on_execute = at(never);
  SolveRequest request;
  request.definition = graph_.define(held);
  request.id = "job";
  auto running = std::async(std::launch::async, [&] { return solver_->solve(request, quiet_, {}); });
  never.wait_arrived();
  EXPECT_EQ(solver_->solve(request, quiet_, {}).status.error().code, base::ErrorCode::already_exists);
  EXPECT_TRUE(solver_->stop("job"));
  EXPECT_EQ(running.get().status.error().code, base::ErrorCode::cancelled);
  EXPECT_FALSE(solver_->stop("job")) << "it has ended";
}

TEST_P(solver, jobs_integration_parallelism) {
  restart(2);
  Gate gate;
  std::atomic<int> running{0}, most{0};
  std::vector<FakeInput> inputs;
  for (int i = 0; i < 6; ++i) {
    const FakeStepPtr each = number("n" + std::to_string(i), i);
    each->on_execute = [&](std::stop_token stop) {
      const int now = ++running;
      for (int seen = most; now > seen && !most.compare_exchange_weak(seen, now);) {}
      const base::Status passed = at(gate)(std::move(stop));
      --running;
      return passed;
    };
    inputs.push_back({each});
  }
  Job job = start(sum("sum", 0, inputs));
  gate.wait_arrived(2);
  gate.open();
  EXPECT_EQ(job.value(), "15");
  EXPECT_EQ(most, 2);
}

TEST_P(solver, subbuild) {
  restart(1);  // the step that waits for others takes no place from them
  const auto outer = [&](const std::string& tag) {
    const FakeStepPtr made = step("outer" + tag, "outer", "");
    made->builds = sum("inner" + tag, 1, {{number("five" + tag, 5)}});
    return made;
  };
  const FakeStepPtr first = outer("-a"), second = outer("-b");
  EXPECT_EQ(build(first), "6");
  EXPECT_EQ(first->builds->executions, 1);
  EXPECT_EQ(build(second), "6");
  EXPECT_EQ(second->executions + second->builds->executions, 0);
}

}  // namespace
}  // namespace cairn::solver::test
