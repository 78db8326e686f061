// SPDX-License-Identifier: Apache-2.0
// What a solve counts: each output that it asks for ends as one hit or one miss with one cause, time is saved once per step,
// and counting adds neither a read transaction nor a write to a warm solve.
#include "libsolver/cache_key.h"
#include "tests/libsolver_accept/fake_graph.h"

namespace cairn::solver::test {
namespace {

using cache::Counters;
using cache::MissCause;

// A store that has a result for a key and never gives it.
class Unreachable final : public ResultStore {
 public:
  explicit Unreachable(MissCause cause) : cause_(cause) {}
  std::string_view name() const override { return "unreachable"; }
  cache::KeyStore& keys() override { return keys_; }
  Cost load_cost() const override { return Cost::io; }
  base::Result<std::optional<OptionalRef>> load(const cache::KeyResult&, std::stop_token) override {
    return base::fail(base::ErrorCode::io, "nobody answers");
  }
  MissCause cause_of(const base::Error&) const override { return cause_; }
  void has(const FakeStepPtr& step) {
    keys_.put_result(root_key(OpDigest{.hash = base::sha256("seed:" + step->seeds.front())}, 0), {cache::RecordId(7), {}});
  }

 private:
  cache::MemoryKeyStore keys_;
  MissCause cause_;
};

class Count : public FakeSolverTest {
 protected:
  // What was added since the last call.
  Counters added() {
    Counters now;
    for (const auto& row : must(store_.cache->statistics())) now += row.counters;
    Counters added = now;
    added.hits -= before_.hits;
    for (std::size_t i = 0; i < added.misses.size(); ++i) added.misses[i] -= before_.misses[i];
    added.bytes_saved -= before_.bytes_saved;
    added.time_saved -= before_.time_saved;
    before_ = now;
    return added;
  }
  // Hits, then misses by cause.
  static std::vector<std::uint64_t> lookups(const Counters& counters) {
    std::vector<std::uint64_t> all = {counters.hits};
    all.insert(all.end(), counters.misses.begin(), counters.misses.end());
    return all;
  }
  static std::vector<std::uint64_t> wanted(std::uint64_t hits, std::initializer_list<MissCause> misses) {
    Counters counters{.hits = hits};
    for (const MissCause cause : misses) counters += cache::one_miss(cause);
    return lookups(counters);
  }

 private:
  Counters before_;
};

INSTANTIATE_TEST_SUITE_P(, Count, ::testing::Values(Keys::local), name_of_keys);

constexpr MissCause never = MissCause::never_seen, evicted = MissCause::evicted, differs = MissCause::key_differs;

TEST_P(Count, AHitOfTheLastStepIsTheOnlyLookupOfAWarmSolve) {
  build(step("top", "top", "t", {{step("below", "below", "b")}}));
  EXPECT_EQ(lookups(added()), wanted(0, {never, never}));
  const auto reads = store_.env->counts().reads, changes = store_.writer->counts().changes;
  build(step("top2", "top", "t", {{step("below2", "below", "b")}}));
  EXPECT_EQ(store_.env->counts().reads - reads, 1u) << "one burst of lookups";
  EXPECT_EQ(store_.writer->counts().changes, changes);
  EXPECT_EQ(lookups(added()), wanted(1, {}));
}

TEST_P(Count, TheSameStepOnOtherInputsDiffers) {
  build(step("top", "top", "t", {{step("below", "below", "b")}}));
  added();
  build(step("top2", "top", "t2", {{step("other", "other", "o")}}));
  EXPECT_EQ(lookups(added()), wanted(0, {never, differs}));
  must(store_.cache->prune({.all = true}));
  build(step("top3", "top", "t", {{step("below3", "below", "b")}}));
  EXPECT_EQ(lookups(added()), wanted(0, {evicted, evicted}));
}

TEST_P(Count, TimeIsSavedOncePerStepAndNotIfItRunsAllTheSame) {
  const auto two = [](const std::string& name) {
    FakeStepPtr made = step(name, "two", "v");
    made->outputs = 2;
    return made;
  };
  const auto user = [&](const std::string& name, FakeStepPtr of) { return step(name, name, "u", {{of, 0}, {of, 1}}); };
  build(user("first", two("two")));
  EXPECT_EQ(lookups(added()), wanted(0, {never, never, never}));
  std::chrono::nanoseconds time{0};
  std::int64_t bytes = 0;
  must(store_.cache->each_record([&](const cache::RecordInfo& record) -> base::Status {
    if (!record.facts.description.starts_with("v")) return {};
    time = record.facts.build_time;
    bytes += record.usage.bytes;
    return {};
  }));
  build(user("second", two("two again")));
  const Counters counted = added();
  EXPECT_EQ(lookups(counted), wanted(2, {never}));
  EXPECT_GT(time.count(), 0);
  EXPECT_EQ(counted.time_saved, time);
  EXPECT_EQ(counted.bytes_saved, bytes);
}

TEST_P(Count, WhatCannotBeReadIsAnErrorAndWhatIsGoneWasEvicted) {
  build(step("a", "a", "a"));
  added();
  results_.fail_loads = true;
  build(step("a2", "a", "a"));
  EXPECT_EQ(lookups(added()), wanted(0, {MissCause::error}));
  results_.fail_loads = false;
  results_.vanish = true;
  build(step("a3", "a", "a"));
  EXPECT_EQ(lookups(added()), wanted(0, {evicted}));
}

TEST_P(Count, AnotherStoreThatFailsIsAnErrorOrATimeoutUnlessTheOwnOneHasIt) {
  Unreachable slow(MissCause::timeout), broken(MissCause::error);
  const FakeStepPtr a = step("a", "a", "a"), b = step("b", "b", "b");
  slow.has(a);
  broken.has(b);
  more_ = {&slow, &broken};
  EXPECT_EQ(build(a), "a");
  EXPECT_EQ(lookups(added()), wanted(0, {MissCause::timeout}));
  EXPECT_EQ(build(b), "b");
  EXPECT_EQ(lookups(added()), wanted(0, {MissCause::error}));
  EXPECT_EQ(build(step("a2", "a", "a")), "a");
  EXPECT_EQ(lookups(added()), wanted(1, {}));
}

TEST_P(Count, WhatIgnoresTheCacheLooksNothingUpAndWhatFailsWasAMiss) {
  const FakeStepPtr anew = step("a", "a", "a");
  anew->ignore_cache = true;
  build(anew);
  EXPECT_EQ(lookups(added()), wanted(0, {}));
  const FakeStepPtr failing = step("f", "f", "f", {{step("a2", "a", "a")}});
  failing->on_execute = [](std::stop_token) -> base::Status { return base::fail(base::ErrorCode::io, "refused"); };
  EXPECT_FALSE(solve(failing).status);
  EXPECT_EQ(lookups(added()), wanted(1, {never}));
}

TEST_P(Count, WhatIsMergedIntoAnotherStepIsNoLookupOfItsOwn) {
  const FakeStepPtr one = step("one", "same", "v"), two = step("two", "same", "v");
  build(step("top", "top", "t", {{one}, {two}}));
  EXPECT_EQ(one->executions + two->executions, 1);
  EXPECT_EQ(lookups(added()), wanted(0, {never, never}));
}

}  // namespace
}  // namespace cairn::solver::test
