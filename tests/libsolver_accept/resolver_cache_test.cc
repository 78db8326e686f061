// SPDX-License-Identifier: Apache-2.0
// What sources of one solve are told by remote sides: asked once, answered to all. The combined tests have a source that
// works for several solves. Where keys are kept is nothing to it; a question is asked by a step on both stores.
#include <gmock/gmock.h>

#include "libsolver/sources/resolver_cache.h"
#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

INSTANTIATE_TEST_SUITE_P(, solver, ::testing::Values(Keys::local, Keys::memory), name_of_keys);

KeyDigest question(const std::string& name) { return base::digest_of<KeyDigest>(name); }

std::shared_ptr<ResolverCache> new_cache() { return std::make_shared<ResolverCache>(); }

// Who waits for a turn on a thread of its own, and gives it back without an answer.
std::future<std::vector<std::string>> wait_for(ResolverCache& cache, const std::string& name, std::stop_token stop = {}) {
  return std::async(std::launch::async, [&cache, name, stop]() -> std::vector<std::string> {
    auto turn = cache.lock(question(name), stop);
    if (!turn) return {turn.error().message};
    return turn->answers();
  });
}

// Sources that ask when they are identified, as those of tags and branches do: a step's value is what they were told.
struct Asking {
  std::atomic<int> asked{0};
  Gate gate;
  std::atomic<bool> refuse{false};

  base::Status ask(const std::vector<std::shared_ptr<ResolverCache>>& caches, const std::string& name, std::stop_token stop) {
    CombinedTurn turn = TRY(CombinedTurn::lock(caches, question(name), stop));
    if (!turn.answers().empty()) return {};
    ++asked;
    if (!gate.pass(stop)) return base::fail(base::ErrorCode::cancelled, "stopped at a gate");
    if (refuse) return base::fail(base::ErrorCode::io, "no answer");
    return turn.release("answer");
  }
};

TEST_P(solver, resolver_cache_serial_access) {
  ResolverCache cache;
  auto first = must(cache.lock(question("key"), {}));
  EXPECT_THAT(first.answers(), IsEmpty());
  must(first.release("one"));
  auto second = must(cache.lock(question("key"), {}));
  EXPECT_THAT(second.answers(), ElementsAre("one"));
  must(second.release("two"));
  EXPECT_THAT(must(cache.lock(question("key"), {})).answers(), ElementsAre("one", "two"));
}

TEST_P(solver, resolver_cache_concurrent_waiters) {
  // Two sources of one solve with one question, while a third asks it.
  Asking remote;
  std::vector<FakeInput> inputs;
  for (const char* name : {"a", "b", "c"}) {
    const FakeStepPtr source = number(name, static_cast<int>(inputs.size()));
    source->on_resolve = [&](const OpContext& context) { return remote.ask(context.resolved, "tag", context.stop); };
    inputs.push_back({source});
  }
  Job job = start(sum("sum", 0, inputs));
  remote.gate.wait_arrived();
  remote.gate.open();
  EXPECT_EQ(job.value(), "3");
  EXPECT_EQ(remote.asked, 1);
  // The next solve asks anew.
  EXPECT_EQ(build(sum("sum again", 1, inputs)), "4");
  EXPECT_EQ(remote.asked, 2);
}

TEST_P(solver, resolver_cache_multiple_independent_keys) {
  ResolverCache cache;
  auto a = must(cache.lock(question("a"), {}));
  auto b = must(cache.lock(question("b"), {}));  // does not wait for the first
  must(a.release("x"));
  must(b.release("y"));
  EXPECT_THAT(must(cache.lock(question("a"), {})).answers(), ElementsAre("x"));
  EXPECT_THAT(must(cache.lock(question("b"), {})).answers(), ElementsAre("y"));
}

TEST_P(solver, resolver_cache_release_nil_does_not_add) {
  ResolverCache cache;
  must(must(cache.lock(question("key"), {})).release(std::nullopt));
  EXPECT_THAT(must(cache.lock(question("key"), {})).answers(), IsEmpty()) << "and a turn that dies gives itself back";
  EXPECT_THAT(must(cache.lock(question("key"), {})).answers(), IsEmpty());
}

TEST_P(solver, resolver_cache_errors_are_not_answers) {
  Asking remote;
  remote.gate.open();
  remote.refuse = true;
  const FakeStepPtr source = number("source", 7);
  source->on_resolve = [&](const OpContext& context) { return remote.ask(context.resolved, "tag", context.stop); };
  EXPECT_EQ(solve(source).status.error().code, base::ErrorCode::io);
  remote.refuse = false;
  EXPECT_EQ(build(source), "7");
  EXPECT_EQ(remote.asked, 2);
}

TEST_P(solver, resolver_cache_sequential_locks) {
  ResolverCache cache;
  std::vector<std::string> expected;
  for (int i = 0; i < 3; ++i) {
    auto turn = must(cache.lock(question("key"), {}));
    EXPECT_EQ(turn.answers(), expected);
    expected.push_back(std::to_string(i));
    must(turn.release(expected.back()));
  }
  EXPECT_EQ(must(cache.lock(question("key"), {})).answers(), expected);
}

TEST_P(solver, resolver_cache_cancelled_waiter_leaves_the_queue) {
  ResolverCache cache;
  auto held = must(cache.lock(question("key"), {}));
  std::stop_source stop;
  auto cancelled = wait_for(cache, "key", stop.get_token());
  stop.request_stop();
  EXPECT_THAT(cancelled.get(), ElementsAre(::testing::HasSubstr("cancelled")));
  auto waits = wait_for(cache, "key");
  must(held.release("answer"));
  EXPECT_THAT(waits.get(), ElementsAre("answer"));
}

TEST_P(solver, combined_resolver_cache_basic_merge) {
  const auto one = new_cache(), two = new_cache();
  must(must(one->lock(question("key"), {})).release("a1"));
  must(must(one->lock(question("key"), {})).release("a2"));
  must(must(two->lock(question("key"), {})).release("b1"));
  auto turn = must(CombinedTurn::lock({one, two, one}, question("key"), {}));  // a solve that is there twice counts once
  EXPECT_THAT(turn.answers(), ::testing::UnorderedElementsAre("a1", "a2", "b1"));
  must(turn.release("merged"));
  EXPECT_THAT(must(one->lock(question("key"), {})).answers(), ElementsAre("a1", "a2", "merged"));
  EXPECT_THAT(must(two->lock(question("key"), {})).answers(), ElementsAre("b1", "merged"));
}

TEST_P(solver, combined_resolver_cache_empty_input) {
  auto turn = must(CombinedTurn::lock({}, question("key"), {}));
  EXPECT_THAT(turn.answers(), IsEmpty());
  must(turn.release("whatever"));
}

TEST_P(solver, combined_resolver_cache_error_handling_and_rollback) {
  for (const std::size_t busy : {0u, 1u}) {  // whichever is locked first
    const ResolverCaches both{new_cache(), new_cache()};
    const auto held = must(both[busy]->lock(question("key"), {}));
    std::stop_source stop;
    stop.request_stop();
    const auto turn = CombinedTurn::lock(both, question("key"), stop.get_token());
    ASSERT_FALSE(turn);
    EXPECT_EQ(turn.error().code, base::ErrorCode::cancelled);
    EXPECT_THAT(must(both[1 - busy]->lock(question("key"), {})).answers(), IsEmpty()) << "it is free again";
  }
}

TEST_P(solver, combined_resolver_cache_parallel_release_error_propagation) {
  for (const bool first : {true, false}) {
    const auto full = std::make_shared<ResolverCache>(0), roomy = new_cache();
    auto turn = must(CombinedTurn::lock(first ? ResolverCaches{full, roomy} : ResolverCaches{roomy, full}, question("key"), {}));
    const base::Status released = turn.release("data");
    ASSERT_FALSE(released);
    EXPECT_EQ(released.error().code, base::ErrorCode::no_space);
    EXPECT_THAT(must(full->lock(question("key"), {})).answers(), IsEmpty()) << "given back all the same";
    EXPECT_THAT(must(roomy->lock(question("key"), {})).answers(), ElementsAre("data"));
  }
}

}  // namespace
}  // namespace cairn::solver::test
