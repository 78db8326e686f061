// SPDX-License-Identifier: Apache-2.0
// I8: a sick tier is slower, never wrong, and never fails whoever asks. The clock stands still but where a test moves
// it.
#include "libcache/tiers/breaker.h"
#include "libcache/tiers/hedge_budget.h"
#include "tests/libcache/tiers_fixture.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;

class SickTiersTest : public TiersTest, public ::testing::WithParamInterface<Sickness> {
 protected:
  static constexpr milliseconds lookup_time{2'000}, transfer_time{5'000};
  TiersOptions options() {
    return {.lookup_time = lookup_time, .transfer_time = transfer_time, .negative_time = milliseconds(0)};
  }
  const std::string output_ = std::string(5'000, 'o');
};

INSTANTIATE_TEST_SUITE_P(all, SickTiersTest,
                         ::testing::Values(Sickness::black_hole, Sickness::io, Sickness::busy, Sickness::unavailable,
                                           Sickness::slow_blobs, Sickness::slow_drip, Sickness::wrong_bytes,
                                           Sickness::cut_off, Sickness::endless, Sickness::lies_of_size));

TEST_P(SickTiersTest, ALookupIsAMissInTimeAndAHitWhenItIsWell) {
  stock(*first_, named("k"), "value", {output_});
  first_->sickness = GetParam();
  open({{first_}}, options());
  auto answer = begin(named("k"));
  EXPECT_LE(let_pass_until(answer), lookup_time);
  EXPECT_NE(answer.get(), TierAnswer::found);
  EXPECT_EQ(value_of(named("k")), std::nullopt);
  EXPECT_LE(first_->longest_wait_ns, std::chrono::nanoseconds(lookup_time).count());
  first_->sickness = Sickness::none;
  store_.clock.advance(seconds(120));
  // One that was late may still be at it.
  TierAnswer said = TierAnswer::none;
  for (int i = 0; i < 100 && said != TierAnswer::found; ++i) {
    auto again = begin(named("k"));
    let_pass_until(again);
    said = again.get();
    if (said != TierAnswer::found) std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(said, TierAnswer::found);
  EXPECT_EQ(value_of(named("k")), "value");
  EXPECT_EQ(must(store_.cache->blobs().read(sized(output_).digest, 10'000)), output_);
  EXPECT_EQ(store_.findings(), std::vector<std::string>());
}

TEST_P(SickTiersTest, AnotherTierHasTheSame) {
  stock(*first_, named("k"), "value", {output_});
  stock(*second_, named("k"), "value", {output_});
  first_->sickness = GetParam();
  auto patient = options();
  patient.transfer_time = milliseconds(500);
  open({{first_}, {second_}}, patient);
  auto answer = begin(named("k"));
  EXPECT_LE(let_pass_until(answer), lookup_time);
  // One who lies of what an entry needs is found out, but not whom to believe instead.
  EXPECT_EQ(answer.get(), GetParam() == Sickness::lies_of_size ? TierAnswer::none : TierAnswer::found);
  if (GetParam() == Sickness::lies_of_size) return;
  EXPECT_EQ(value_of(named("k")), "value");
  EXPECT_EQ(must(store_.cache->blobs().read(sized(output_).digest, 10'000)), output_);
  EXPECT_EQ(store_.findings(), std::vector<std::string>());
}

TEST_P(SickTiersTest, APutIsNotDelayedAndArrivesWhenItIsWell) {
  first_->sickness = GetParam();
  auto patient = options();
  patient.attempts_max = 1'000;
  open({{first_}}, patient);
  put(named("k"), "value", {output_});
  EXPECT_EQ(value_of(named("k")), "value") << "and the clock stands still";
  for (int i = 0; i < 20; ++i) {
    store_.clock.advance(seconds(1));
    std::this_thread::sleep_for(milliseconds(2));
  }
  first_->sickness = Sickness::none;
  while (drain(milliseconds(0)) > 0) {
    store_.clock.advance(seconds(10));
    std::this_thread::sleep_for(milliseconds(5));
  }
  ASSERT_TRUE(first_->entry(named("k")));
  const std::lock_guard lock(first_->mutex);
  EXPECT_EQ(first_->blobs.at(sized(output_).digest), output_);
}

TEST_F(TiersTest, ATierThatForgetsBlobsHasNoEntryForOthers) {
  first_->sickness = Sickness::forgets;
  open({{first_}});
  put(named("k"), "value", {"an output"});
  EXPECT_EQ(drain(), 0u);
  ASSERT_TRUE(first_->entry(named("k"))) << "it said that it has what the entry needs";
  must(EntryStore(*store_.cache).erase(named("k")));
  must(store_.cache->prune({.all = true}));
  EXPECT_EQ(ask(named("k")), TierAnswer::none);
  EXPECT_EQ(value_of(named("k")), std::nullopt);
}

TEST_F(TiersTest, NoLookupWaitsLongerThanMakingItAgainTakes) {
  stock(*first_, named("k"), "value", {"an output"}, milliseconds(300));
  first_->sickness = Sickness::slow_blobs;
  open({{first_}}, {.lookup_time = seconds(2)});
  auto answer = begin(named("k"));
  wait_for([&] { return first_->hanging > 0; });
  store_.clock.advance(milliseconds(299));
  EXPECT_NE(answer.wait_for(milliseconds(60)), std::future_status::ready);
  store_.clock.advance(milliseconds(1));
  EXPECT_EQ(answer.get(), TierAnswer::late);
  EXPECT_EQ(first_->hanging, 1) << "it goes on for whoever asks next";
  first_->sickness = Sickness::none;
  wait_for([&] { return value_of(named("k")).has_value(); });
  EXPECT_EQ(first_->opens, 1u);
}

TEST_F(TiersTest, ASecondTierIsAskedWhenTheFirstTakesLong) {
  stock(*second_, named("k"), "value", {});
  first_->sickness = Sickness::black_hole;
  open({{first_}, {second_}}, {.hedge_time_min = milliseconds(50)});
  auto answer = begin(named("k"));
  EXPECT_LT(let_pass_until(answer), milliseconds(1'000)) << "nobody waited for the first";
  EXPECT_EQ(answer.get(), TierAnswer::found);
  EXPECT_EQ(of(1).hedges, 1u);
  wait_for([&] { return first_->hanging == 0; });  // its call was ended, although its time is not over
  EXPECT_EQ(of(0).faults[static_cast<std::size_t>(TierFault::io)], 0u);
}

TEST_F(TiersTest, ABlobIsAskedOfASecondTierWhenTheFirstTakesLong) {
  for (const Sickness sickness : {Sickness::black_hole, Sickness::slow_blobs}) {
    const std::string bytes = "a blob " + std::to_string(static_cast<int>(sickness));
    for (const auto& shelf : {first_, second_}) stock(*shelf, named("k"), "value", {bytes});
    first_->sickness = sickness;
    first_->opens = second_->opens = 0;
    open({{first_}, {second_}}, {.hedge_time_min = milliseconds(50)});
    std::promise<TierAnswer> answer;
    tiers_->fetch_blob(sized(bytes), [&](TierAnswer said) { answer.set_value(said); });
    EXPECT_LT(let_pass_until(answer.get_future()), milliseconds(1'000)) << "nobody waited for the first";
    wait_for([&] { return has(bytes); });
    EXPECT_EQ(first_->opens, 1u);
    EXPECT_EQ(second_->opens, 1u);
    EXPECT_EQ(of(1).hedges, 1u);
    EXPECT_EQ(of(1).blobs_in, 1u);
    wait_for([&] { return first_->hanging == 0; });  // its call was ended, although its time is not over
    first_->sickness = Sickness::none;
  }
}

TEST_F(TiersTest, ATierThatIsFastIsNotAskedTwice) {
  std::vector<std::string> needs;
  for (int i = 0; i < 50; ++i) needs.push_back("output " + std::to_string(i));
  for (const auto& shelf : {first_, second_}) stock(*shelf, named("k"), "value", needs);
  open({{first_}, {second_}});
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  EXPECT_EQ(first_->opens, 50u);
  EXPECT_EQ(second_->opens, 0u);
  EXPECT_EQ(of(0).hedges + of(1).hedges, 0u);
}

TEST_F(TiersTest, OneThatOthersOvertakeTimeAndAgainRests) {
  for (int i = 0; i < 20; ++i) stock(*second_, named("k" + std::to_string(i)), "value", {});
  first_->sickness = Sickness::black_hole;
  open({{first_}, {second_}}, {.hedge_time_min = milliseconds(50), .failures_max = 3, .rest_time = seconds(60)});
  for (int i = 0; i < 20; ++i) {
    auto answer = begin(named("k" + std::to_string(i)));
    let_pass_until(answer);
    EXPECT_EQ(answer.get(), TierAnswer::found);
    wait_for([&] { return first_->hanging == 0; });
  }
  wait_for([&] { return of(0).reading == BreakerState::open; });
  EXPECT_LE(first_->lookups, 5u);
  EXPECT_GE(of(1).hedges, 3u);
  EXPECT_LE(of(1).hedges, 5u) << "who rests is not waited for";
}

// Of forty that take long at once, those are asked twice for which there is room; the others wait for their answers.
TEST_F(TiersTest, NoMoreThanAShareIsAskedTwice) {
  constexpr int count = 40;
  for (int i = 0; i < count; ++i)
    for (const auto& shelf : {first_, second_}) stock(*shelf, named("k" + std::to_string(i)), "value", {});
  first_->sickness = Sickness::black_hole;
  open({{first_}, {second_}}, {.fetches_max = count,
                               .hedge_time_min = milliseconds(50),
                               .hedge_share = 0.1,
                               .hedges_at_once = 6,
                               .failures_max = 1000});
  std::vector<std::future<TierAnswer>> answers;
  for (int i = 0; i < count; ++i) answers.push_back(begin(named("k" + std::to_string(i))));
  wait_for([&] { return first_->hanging == count; });
  store_.clock.advance(milliseconds(60));
  wait_for([&] { return second_->lookups == 6; });
  for (int i = 0; i < 10; ++i) {
    store_.clock.advance(milliseconds(60));
    std::this_thread::sleep_for(milliseconds(25));
  }
  EXPECT_EQ(second_->lookups, 6u);
  EXPECT_EQ(of(1).hedges, 6u);
  first_->sickness = Sickness::none;
  for (auto& answer : answers) EXPECT_EQ(answer.get(), TierAnswer::found) << "and nobody lost by that";
}

TEST(TierHedges, AShareIsEarnedAndIsNotSavedForever) {
  HedgeBudget budget(0.1, 3);
  const auto take_all = [&] {
    int taken = 0;
    while (budget.take()) ++taken;
    return taken;
  };
  EXPECT_EQ(take_all(), 3);
  for (int i = 0; i < 25; ++i) budget.earn();
  EXPECT_EQ(take_all(), 2);
  for (int i = 0; i < 1'000; ++i) budget.earn();
  EXPECT_EQ(take_all(), 3);
}

TEST_F(TiersTest, AnOnlyOneIsTriedOnceMore) {
  first_->sickness = Sickness::black_hole;
  open({{first_}}, {.hedge_time_min = milliseconds(50)});
  auto answer = begin(named("k"));
  let_pass_until(answer);
  EXPECT_NE(answer.get(), TierAnswer::found);
  EXPECT_EQ(first_->lookups, 2u);
}

TEST_F(TiersTest, ASickOneRestsAndIsTriedByOneCall) {
  first_->sickness = Sickness::io;
  open({{first_}}, {.failures_max = 5, .rest_time = seconds(1)});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(named("k" + std::to_string(i))), TierAnswer::none);
  EXPECT_EQ(first_->lookups, 5u) << "no storm of requests on who cannot answer";
  EXPECT_EQ(of(0).reading, BreakerState::open);
  EXPECT_EQ(of(0).writing, BreakerState::closed);
  EXPECT_EQ(of(0).skipped, 95u);
  EXPECT_EQ(of(0).faults[static_cast<std::size_t>(TierFault::io)], 5u);
  store_.clock.advance(milliseconds(1'001));
  EXPECT_EQ(of(0).reading, BreakerState::half_open);
  for (int i = 0; i < 10; ++i) ask(named("k" + std::to_string(i)));
  EXPECT_EQ(first_->lookups, 6u);
  store_.clock.advance(milliseconds(1'500));
  ask(named("k"));
  EXPECT_EQ(first_->lookups, 6u) << "it rests twice as long now";
  store_.clock.advance(milliseconds(600));
  first_->sickness = Sickness::none;
  stock(*first_, named("k"), "value", {});
  EXPECT_EQ(ask(named("k")), TierAnswer::found) << "that it could not be asked is not remembered as a no";
  EXPECT_EQ(of(0).reading, BreakerState::closed);
}

TEST_F(TiersTest, WhatIsNotTakenIsDroppedAndCounted) {
  first_->sickness = Sickness::io;
  open({{first_}}, {.failures_max = 1'000, .attempts_max = 3});
  put(named("k"), "value");
  while (of(0).unsent > 0) {
    store_.clock.advance(seconds(1));
    std::this_thread::sleep_for(milliseconds(5));
  }
  EXPECT_EQ(of(0).dropped, 1u);
  EXPECT_EQ(of(0).faults[static_cast<std::size_t>(TierFault::io)], 3u);
}

TEST_F(TiersTest, TheLineIsBounded) {
  first_->sickness = Sickness::black_hole;
  open({{first_}, {second_}}, {.unsent_max = 3});
  put(named("sending"), "value");
  wait_for([&] { return first_->hanging > 0; });
  for (int i = 0; i < 10; ++i) {
    put(named("k" + std::to_string(i)), "value");
    wait_for([&] { return of(1).unsent == 0; });
  }
  EXPECT_EQ(of(0).dropped, 7u);
  EXPECT_EQ(of(0).unsent, 4u);
  EXPECT_EQ(of(1).dropped, 0u);
  EXPECT_EQ(second_->entry_puts, 11u) << "one that hangs does not delay another";
  first_->sickness = Sickness::none;
  EXPECT_EQ(drain(), 0u);
  EXPECT_EQ(first_->entry_puts, 4u);
}

TEST_F(TiersTest, ADrainEndsInTimeAndSaysWhatIsLeft) {
  first_->sickness = Sickness::black_hole;
  open({{first_}});
  put(named("a"), "value");
  put(named("b"), "value");
  wait_for([&] { return first_->hanging > 0; });
  EXPECT_EQ(drain(milliseconds(0)), 2u);
}

TEST(TierBreaker, RestsLongerEachTimeAndAtOnceWhenItIsAskedTo) {
  TiersOptions options{.failures_max = 2, .rest_time = seconds(1), .rest_time_max = seconds(3)};
  Breaker breaker(options);
  Breaker::Time now{};
  const auto fail_once = [&](ErrorCode code) {
    EXPECT_TRUE(breaker.begin(now));
    breaker.failed(now, code);
  };
  fail_once(ErrorCode::io);
  breaker.succeeded();
  fail_once(ErrorCode::io);
  EXPECT_EQ(breaker.state(now), BreakerState::closed) << "only failures in a row count";
  fail_once(ErrorCode::corrupt);
  for (const auto rest : {seconds(1), seconds(2), seconds(3), seconds(3)}) {
    EXPECT_EQ(breaker.rests_until(), now + rest);
    EXPECT_FALSE(breaker.begin(now + rest - milliseconds(1)));
    now += rest;
    EXPECT_TRUE(breaker.begin(now));
    EXPECT_FALSE(breaker.begin(now)) << "one call tries it";
    breaker.failed(now, ErrorCode::io);
  }
  now += seconds(3);
  EXPECT_TRUE(breaker.begin(now));
  breaker.abandoned();
  EXPECT_TRUE(breaker.begin(now)) << "nothing came of that try: the next is one";
  breaker.succeeded();
  EXPECT_EQ(breaker.state(now), BreakerState::closed);
  fail_once(ErrorCode::busy);
  EXPECT_EQ(breaker.rests_until(), now + seconds(1));
  now += seconds(1);
  EXPECT_TRUE(breaker.begin(now));
  breaker.succeeded();
  fail_once(ErrorCode::unavailable);
  EXPECT_EQ(breaker.rests_until(), now + seconds(3));
}

}  // namespace
}  // namespace cairn::cache
