// SPDX-License-Identifier: Apache-2.0
// What is found again, by which keys, and at what cost. Named for the tests of BuildKit's scheduler.
#include <gmock/gmock.h>

#include <random>

#include "libsolver/edge/graph.h"
#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using ::testing::HasSubstr;

INSTANTIATE_TEST_SUITE_P(, solver, ::testing::Values(Keys::local, Keys::memory), name_of_keys);

TEST_P(solver, single_level_cache) {
  EXPECT_EQ(build(step("v0", "seed0", "result0")), "result0");
  const FakeStepPtr same = step("v1", "seed0", "other"), different = step("v2", "seed1", "result2");
  EXPECT_EQ(build(same), "result0") << "the digest of the vertex is no key";
  EXPECT_EQ(same->executions, 0);
  EXPECT_EQ(build(different), "result2");
  EXPECT_EQ(different->executions, 1);
}

TEST_P(solver, huge_graph) {
  const auto graph = [&](const std::string& tag, std::vector<FakeStepPtr>& all) {
    std::mt19937 random(7);
    for (int i = 0; i < 1000; ++i) {
      const std::string name = tag + std::to_string(i);
      if (i < 20) {
        all.push_back(number(name, i));
        continue;
      }
      std::vector<FakeInput> inputs = {{all.back()}};
      for (unsigned more = random() % 3; more > 0; --more) inputs.push_back({all[random() % all.size()]});
      all.push_back(step(name, "step " + std::to_string(i), std::to_string(i), inputs));
    }
    std::vector<FakeInput> ends;
    for (int i = 0; i < 20; ++i) ends.push_back({all[static_cast<std::size_t>(i)]});
    ends.push_back({all.back()});
    all.push_back(sum(tag + "top", 0, ends));
    return all.back();
  };
  std::vector<FakeStepPtr> first, second;
  const FakeStepPtr cold = graph("a", first), warm = graph("b", second);
  const std::string value = build(cold);
  for (const FakeStepPtr& each : first) EXPECT_EQ(each->executions, 1) << each->name;
  const int loads = results_.loads;
  EXPECT_EQ(build(warm), value);
  for (const FakeStepPtr& each : second) EXPECT_EQ(each->executions, 0) << each->name;
  EXPECT_EQ(results_.loads - loads, 1) << "only the result itself";
}

// Two inputs; one is found by definition, the other changed but has the same content.
TEST_P(solver, optimized_cache_access) {
  const auto graph = [&](const std::string& tag, const std::string& seed) {
    const FakeStepPtr by_definition = step("v1" + tag, "seed1", "result1"), changed = step("v2" + tag, seed, "result2");
    return std::tuple(step("v0" + tag, "seed0", "result0", {{by_definition}, by_content(changed, "content")}), by_definition,
                      changed);
  };
  const auto [first, first1, first2] = graph("-a", "seed2");
  EXPECT_EQ(build(first), "result0");
  const int loads = results_.loads;
  const auto [top, by_definition, changed] = graph("-b", "seed2 changed");
  EXPECT_EQ(build(top), "result0");
  EXPECT_EQ(changed->executions, 1) << "its content was needed";
  EXPECT_EQ(by_definition->executions + top->executions, 0);
  EXPECT_EQ(results_.loads - loads, 1) << "the found one is not loaded, only the result";
}

TEST_P(solver, optimized_cache_access2) {
  const auto graph = [&](const std::string& tag, const std::string& seed, const std::string& content) {
    const FakeStepPtr one = step("v1" + tag, "seed1", "result1"), two = step("v2" + tag, seed, "result2");
    return std::tuple(step("v0" + tag, "seed0", "result0" + tag, {by_content(one, "content1"), by_content(two, content)}),
                      one, two);
  };
  EXPECT_EQ(build(std::get<0>(graph("-a", "seed2", "content2"))), "result0-a");
  const auto [hit, hit1, hit2] = graph("-b", "seed2b", "content2");
  EXPECT_EQ(build(hit), "result0-a");
  EXPECT_EQ(hit1->executions + hit1->contents + hit->executions, 0);
  EXPECT_EQ(hit2->executions, 1);
  const int loads = results_.loads;
  const auto [miss, miss1, miss2] = graph("-c", "seed2c", "other content");
  EXPECT_EQ(build(miss), "result0-c");
  EXPECT_EQ(miss->executions, 1);
  EXPECT_EQ(miss1->executions, 0);
  EXPECT_EQ(miss2->executions, 1);
  EXPECT_EQ(results_.loads - loads, 1) << "the unchanged input, to run on";
}

TEST_P(solver, slow_cache) {
  const FakeStepPtr first = step("v0", "seed0", "result0", {by_content(step("v1", "seed1", "result1"), "content")});
  EXPECT_EQ(build(first), "result0");
  const FakeStepPtr other = step("v3", "seed3", "result3");
  const FakeStepPtr second = step("v2", "seed0", "not this", {by_content(other, "content")});
  EXPECT_EQ(build(second), "result0");
  EXPECT_EQ(other->executions, 1);
  EXPECT_EQ(second->executions, 0);
}

TEST_P(solver, slow_cache_error_result_clone_release) {
  const FakeStepPtr input = step("input", "seed", "looked into");
  FakeInput bad{input};
  bad.content = [](const std::string&) -> base::Result<std::string> {
    return base::fail(base::ErrorCode::io, "no content today");
  };
  const FakeStepPtr top = step("top", "top", "x", {bad});
  {
    const SolveOutcome outcome = solve(top);
    ASSERT_FALSE(outcome.status);
    EXPECT_THAT(outcome.status.error().message, HasSubstr("no content today"));
    ASSERT_TRUE(outcome.failed_input);
    EXPECT_EQ(outcome.failed_input->input, 0u);
    EXPECT_EQ(value_of(outcome.failed_input->ref), "looked into");
    EXPECT_EQ(records_after_prune(), 1u) << "held for a look";
    const OptionalRef copy = outcome.failed_input->ref;
    EXPECT_EQ(value_of(copy), "looked into");
  }
  EXPECT_EQ(records_after_prune(), 0u);
}

TEST_P(solver, multiple_cache_sources) {
  cache::MemoryKeyStore other_keys;
  CountedResults other(results_of(*store_.cache, other_keys, store_.clock));
  const auto graph = [&](const std::string& tag) {
    const FakeStepPtr base = number("base" + tag, 1);
    FakeStepPtr last = base;
    for (int i = 1; i <= 4; ++i) last = sum("level" + std::to_string(i) + tag, i == 4 ? 1 : 0, {{last}, {base}});
    return std::pair(last, base);
  };
  {
    SolverOptions options{.parallelism = 2, .make_op = {}, .results = &other};
    options.make_op = [this](std::shared_ptr<const Vertex> vertex, const SolveRequest&) { return graph_.make(vertex); };
    Solver elsewhere(
        *store_.cache,
        []() -> base::Result<std::unique_ptr<Executor>> { return base::fail(base::ErrorCode::unavailable, "none"); },
        clock_, options);
    SolveRequest request;
    const auto [top, base] = graph("-elsewhere");
    request.definition = graph_.define(top);
    ASSERT_TRUE(elsewhere.solve(request, quiet_, {}).status);
  }
  for (const std::string round : {"-first", "-second"}) {
    more_ = {&other};
    const auto [top, base] = graph(round);
    EXPECT_EQ(build(top), "6");
    EXPECT_EQ(top->executions + base->executions, 0);
  }
  EXPECT_EQ(other.loads, 1) << "the second time it was in the own store";
  more_.clear();
  const auto [top, base] = graph("-main-only");
  EXPECT_EQ(build(top), "6");
  EXPECT_EQ(top->executions + base->executions, 0) << "what the other had was stored here";
}

// The other store's load runs on the pool, fails, and the step runs.
TEST_P(solver, multiple_cache_sources_load_on_the_pool_fails) {
  cache::MemoryKeyStore other_keys;
  CountedResults other(results_of(*store_.cache, other_keys, store_.clock));
  const FakeStepPtr made = number("made", 4);
  EXPECT_EQ(build(made), "4");
  OpDigest digest;
  digest.hash = base::sha256("seed:elsewhere");
  other_keys.put_result(root_key(digest, 0), {cache::RecordId(1), store_.clock.now()});
  other.load_on_the_pool();
  other.fail_loads = true;
  more_ = {&other};
  const FakeStepPtr wanted = step("wanted", "elsewhere", "made here");
  EXPECT_EQ(build(wanted), "made here");
  EXPECT_EQ(wanted->executions, 1);
  EXPECT_EQ(other.loads, 1);
}

TEST_P(solver, repeat_build_with_ignore_cache) {
  const auto graph = [&](const std::string& value, bool ignore) {
    const FakeStepPtr base = step("base-" + value, "base", value);
    base->ignore_cache = ignore;
    return std::pair(step("top-" + value, "top", "top of " + value, {{base}}), base);
  };
  for (const auto& [value, ignore] : {std::pair("1", false), std::pair("2", true), std::pair("3", true)}) {
    const auto [top, base] = graph(value, ignore);
    EXPECT_EQ(build(top), std::string("top of ") + value);
    EXPECT_EQ(base->executions, 1);
    EXPECT_EQ(top->executions, 1) << "it stands on something new";
  }
  const auto [top, base] = graph("4", false);
  EXPECT_EQ(build(top), "top of 3") << "the newest of what was stored";
  EXPECT_EQ(top->executions + base->executions, 0);
}

TEST_P(solver, ignore_cache_resume_from_slow_cache) {
  const auto graph = [&](const std::string& tag) {
    const FakeStepPtr base = step("base" + tag, "base", "value" + tag);
    base->ignore_cache = true;
    const FakeStepPtr middle = step("middle" + tag, "middle", "middle", {by_content(base, "content")});
    return std::tuple(step("top" + tag, "top", "top", {{middle}}), middle, base);
  };
  const auto [first, first_middle, first_base] = graph("-a");
  EXPECT_EQ(build(first), "top");
  const auto [top, middle, base] = graph("-b");
  EXPECT_EQ(build(top), "top");
  EXPECT_EQ(base->executions, 1);
  EXPECT_EQ(middle->executions + top->executions, 0);
}

TEST_P(solver, parallel_builds_ignore_cache) {
  Gate normal_gate, fresh_gate;
  const FakeStepPtr normal = step("normal", "seed", "by normal"), fresh = step("fresh", "seed", "by fresh");
  const FakeStepPtr late = step("late", "seed", "by late");
  fresh->ignore_cache = true;
  normal->on_execute = at(normal_gate);
  fresh->on_execute = at(fresh_gate);
  Job one = start(normal);
  normal_gate.wait_arrived();
  Job two = start(fresh);  // may not take what the normal one makes: it waits, and runs after
  normal_gate.open();
  fresh_gate.wait_arrived();
  EXPECT_EQ(one.value(), "by normal");
  results_.vanish = true;  // so that the late one cannot hit what is stored
  Job three = start(late);
  fresh_gate.open();
  EXPECT_EQ(two.value(), "by fresh");
  const std::string got = three.value();
  results_.vanish = false;
  EXPECT_EQ(normal->executions, 1);
  EXPECT_EQ(fresh->executions, 1);
  EXPECT_TRUE(got == "by fresh" || got == "by late") << got;
  EXPECT_EQ(late->executions, got == "by late" ? 1 : 0) << "it joined the one that ignores the cache, or came too late";
}

TEST_P(solver, cache_with_selector) {
  const auto graph = [&](const std::string& tag, const std::string& selector) {
    const FakeStepPtr base = step("base" + tag, "base", "base");
    return std::pair(step("top" + tag, "top", "top" + tag, {{base, 0, selector, {}}}), base);
  };
  EXPECT_EQ(build(graph("-a", "selected").first), "top-a");
  EXPECT_EQ(build(graph("-b", "selected").first), "top-a");
  EXPECT_EQ(build(graph("-c", "otherwise").first), "top-c");
  EXPECT_EQ(build(graph("-d", "").first), "top-d");
}

TEST_P(solver, cache_slow_with_selector) {
  const auto graph = [&](const std::string& tag, const std::string& selector, const std::string& base_seed) {
    const FakeStepPtr base = step("base" + tag, base_seed, "base");
    return step("top" + tag, "top", "top" + tag, {by_content(base, "content", selector)});
  };
  EXPECT_EQ(build(graph("-a", "selected", "base")), "top-a");
  EXPECT_EQ(build(graph("-b", "selected", "base")), "top-a");
  EXPECT_EQ(build(graph("-c", "otherwise", "base")), "top-a") << "the content is what was selected, however";
  EXPECT_EQ(build(graph("-d", "selected", "other base")), "top-a");
}

TEST_P(solver, slow_cache_avoid_access) {
  const auto graph = [&](const std::string& tag, const std::string& second_seed) {
    const FakeStepPtr one = step("v1" + tag, "seed1", "1"), two = step("v2" + tag, second_seed, "2");
    return std::tuple(step("v0" + tag, "seed0", "result" + tag, {by_content(one, "content"), {two}}), one, two);
  };
  EXPECT_EQ(build(std::get<0>(graph("-a", "seed2"))), "result-a");
  const auto [hit, hit1, hit2] = graph("-b", "seed2");
  EXPECT_EQ(build(hit), "result-a");
  EXPECT_EQ(hit->contents, 0) << "definitions were enough";
  EXPECT_EQ(hit1->executions + hit2->executions, 0);
}

// BuildKit #648: an input whose content cannot change the outcome is not loaded for it.
TEST_P(solver, slow_cache_avoid_load_on_cache) {
  const auto graph = [&](const std::string& tag, const std::string& main_seed) {
    const FakeStepPtr base = step("base" + tag, "base", "base");
    const FakeStepPtr main = step("main" + tag, main_seed, "main", {{base}});
    const FakeStepPtr copied = step("copied" + tag, "copied", "copied", {{base}});
    const FakeStepPtr copy = step("copy" + tag, "copy", "copy", {{main}, by_content(copied, "content", "file")});
    return std::tuple(step("top" + tag, "top", "top", {{copy}}), copy, base);
  };
  EXPECT_EQ(build(std::get<0>(graph("-a", "main"))), "top");
  const int loads = results_.loads;
  const auto [hit, hit_copy, hit_base] = graph("-b", "main");
  EXPECT_EQ(build(hit), "top");
  EXPECT_EQ(hit_copy->contents, 0);
  EXPECT_EQ(results_.loads - loads, 1) << "the top only";
}

TEST_P(solver, cache_multiple_maps) {
  const FakeStepPtr first = step("v0", "seed0", "result0");
  first->seeds = {"seed0", "seed1", "seed2"};
  EXPECT_EQ(build(first), "result0");
  EXPECT_EQ(first->maps, 3) << "all are known before it runs";
  const FakeStepPtr at_once = step("v1", "seed1", "not this");
  at_once->seeds = {"seed1", "seed9"};
  EXPECT_EQ(build(at_once), "result0");
  EXPECT_EQ(at_once->maps, 1) << "a hit ends the asking";
  const FakeStepPtr later = step("v2", "seed8", "not this");
  later->seeds = {"seed8", "seed2"};
  EXPECT_EQ(build(later), "result0");
  EXPECT_EQ(later->maps, 2);
  EXPECT_EQ(at_once->executions + later->executions, 0);
}

TEST_P(solver, cache_input_multiple_maps) {
  const auto graph = [&](const std::string& tag, std::vector<std::string> seeds) {
    const FakeStepPtr base = step("base" + tag, "", "base");
    base->seeds = std::move(seeds);
    return std::pair(step("top" + tag, "top", "top" + tag, {{base}}), base);
  };
  EXPECT_EQ(build(graph("-a", {"one", "two"}).first), "top-a");
  const auto [by_first, first_base] = graph("-b", {"one", "three"});
  EXPECT_EQ(build(by_first), "top-a");
  EXPECT_EQ(first_base->maps, 1);
  const auto [by_second, second_base] = graph("-c", {"four", "two"});
  EXPECT_EQ(build(by_second), "top-a");
  EXPECT_EQ(second_base->maps, 2);
  EXPECT_EQ(first_base->executions + second_base->executions, 0);
}

TEST_P(solver, cache_err_not_found) {
  EXPECT_EQ(build(step("v0", "seed0", "first")), "first");
  results_.vanish = true;
  const FakeStepPtr again = step("v1", "seed0", "second");
  EXPECT_EQ(build(again), "second") << "a result that is gone is none";
  EXPECT_EQ(again->executions, 1);
}

TEST_P(solver, cache_load_error) {
  const auto graph = [&](const std::string& tag) {
    const FakeStepPtr base = step("base" + tag, "base", "base" + tag);
    const FakeStepPtr middle = step("middle" + tag, "middle", "middle" + tag, {{base}});
    return std::tuple(step("top" + tag, "top", "top" + tag, {{middle}}), middle, base);
  };
  EXPECT_EQ(build(std::get<0>(graph("-a"))), "top-a");
  results_.fail_loads = true;
  results_.loads = 0;
  const auto [top, middle, base] = graph("-b");
  EXPECT_EQ(build(top), "top-b");
  EXPECT_EQ(top->executions, 1);
  EXPECT_EQ(middle->executions, 1);
  EXPECT_EQ(base->executions, 1);
  EXPECT_EQ(results_.loads, 3) << "each record was tried once";
}

TEST_P(solver, compare_cache_record) {
  const auto candidate = [](std::size_t store, int created, std::uint64_t record) {
    return Candidate{store, {cache::RecordId(record), base::from_unix_ns(created)}};
  };
  EXPECT_TRUE(tried_before(candidate(0, 2, 1), candidate(0, 1, 2))) << "the newest first";
  EXPECT_FALSE(tried_before(candidate(0, 1, 2), candidate(0, 2, 1)));
  EXPECT_TRUE(tried_before(candidate(0, 1, 1), candidate(1, 1, 1))) << "at one time the own store first";
  EXPECT_TRUE(tried_before(candidate(0, 1, 1), candidate(1, 9, 1))) << "and even if the other is newer: it is here";
  EXPECT_TRUE(tried_before(candidate(1, 9, 1), candidate(2, 8, 1)));
  EXPECT_TRUE(tried_before(candidate(1, 9, 1), candidate(2, 9, 1)));
  EXPECT_TRUE(tried_before(candidate(1, 9, 1), candidate(1, 9, 2)));
  EXPECT_FALSE(tried_before(candidate(1, 9, 1), candidate(1, 9, 1)));
}

// A consumer that comes to a shared input which is known, or complete, already: it gets the keys and hits.
struct Made {
  FakeStepPtr base, consumer;
};
Made make(const std::string& tag, bool ignore_base = false) {
  Made made;
  made.base = step("base", "base", "base", {});
  made.base->ignore_cache = ignore_base;
  made.consumer = step("step" + tag, "step", "made by step" + tag, {{made.base}});
  return made;
}
// A step that has the base complete and goes on until the gate opens.
FakeStepPtr holder(const FakeStepPtr& base, Gate& gate) {
  const FakeStepPtr held = step("holder", "holder", "held", {{base}});
  held->on_execute = at(gate);
  return held;
}

TEST_P(solver, cache_miss_stale_complete_shared_dep_fresh_base_hits) {
  const auto graph = [&](const std::string& tag) { return step("step" + tag, "step", "x", {{step("base", "base", "b")}}); };
  EXPECT_EQ(build(graph("-a")), "x");
  const FakeStepPtr again = graph("-b");
  EXPECT_EQ(build(again), "x");
  EXPECT_EQ(again->executions, 0);
}

TEST_P(solver, cache_miss_stale_complete_shared_dep_warm_held_base_hits) {
  const Made made = make("-a");
  EXPECT_EQ(build(made.consumer), "made by step-a");
  Gate gate;
  Job job = start(holder(made.base, gate));
  gate.wait_arrived();
  const Made again = make("-b");
  EXPECT_EQ(build(again.consumer), "made by step-a");
  EXPECT_EQ(again.consumer->executions, 0);
  gate.open();
  EXPECT_EQ(job.value(), "held");
}

TEST_P(solver, cache_miss_stale_complete_shared_dep_held_complete_base_misses_same_step_vertex) {
  const Made made = make("");
  Gate gate;
  Job job = start(holder(made.base, gate));
  gate.wait_arrived();  // the base has just been made, and is held
  EXPECT_EQ(build(made.consumer), "made by step");
  EXPECT_EQ(build(made.consumer), "made by step");
  EXPECT_EQ(made.consumer->executions, 1) << "what BuildKit once missed here is a hit";
  EXPECT_EQ(made.base->executions, 1);
  gate.open();
  EXPECT_EQ(job.value(), "held");
}

TEST_P(solver, cache_miss_stale_complete_shared_dep_held_complete_base_misses_distinct_step_vertex) {
  const Made made = make("-a");
  Gate gate;
  Job job = start(holder(made.base, gate));
  gate.wait_arrived();
  EXPECT_EQ(build(made.consumer), "made by step-a");
  const Made other = make("-b");
  EXPECT_EQ(build(other.consumer), "made by step-a");
  EXPECT_EQ(made.consumer->executions, 1);
  EXPECT_EQ(other.consumer->executions, 0);
  gate.open();
  EXPECT_EQ(job.value(), "held");
}

TEST_P(solver, cache_miss_stale_complete_shared_dep_held_complete_ignore_cache_base_re_executes) {
  const Made made = make("-a", true);
  EXPECT_EQ(build(made.consumer), "made by step-a");
  Gate gate;
  Job job = start(holder(made.base, gate));
  gate.wait_arrived();
  const Made again = make("-b", true);
  EXPECT_EQ(build(again.consumer), "made by step-b");
  EXPECT_EQ(again.consumer->executions, 1) << "it stands on what was made anew";
  gate.open();
  EXPECT_EQ(job.value(), "held");
}

}  // namespace
}  // namespace cairn::solver::test
