// SPDX-License-Identifier: Apache-2.0
// Tiers that are well: order, rights, back-fill, one fetch for many, what is sent later.
#include <gmock/gmock.h>

#include "tests/libcache/tiers_fixture.h"

namespace cairn::cache {
namespace {

TEST_F(TiersTest, AnEntryComesWithAllThatItNeeds) {
  stock(*first_, named("k"), "value", {"an output", std::string(200'000, 'o'), ""}, seconds(7));
  open({{first_, TierUse::read}});
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  const auto entry = must(EntryStore(*store_.cache).find(named("k")));
  ASSERT_TRUE(entry);
  EXPECT_EQ(value_of(named("k")), "value");
  EXPECT_EQ(entry->attributes, "kept");
  EXPECT_EQ(entry->hold.info().facts.build_time, seconds(7));
  // I5: what it needs stays while it is there.
  must(store_.cache->prune({.all = true}));
  EXPECT_TRUE(has("an output") && has(std::string(200'000, 'o')));
  const TierStatistics said = of(0);
  EXPECT_EQ(said.hits, 1u);
  EXPECT_EQ(said.blobs_in, 2u) << "what is empty is always there";
  EXPECT_EQ(said.bytes_in, 200'000u + 9 + 5);
  EXPECT_EQ(store_.findings(), std::vector<std::string>());
}

TEST_F(TiersTest, BlobsThatAreHereAreNotFetched) {
  stock(*first_, named("k"), "value", {"one", "two"});
  must(store_.cache->blobs().put("one"));
  open({{first_}});
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  EXPECT_EQ(first_->opens, 1u);
}

TEST_F(TiersTest, TheyAreAskedInTheirOrderAndEarlierOnesAreFilled) {
  const auto written = std::make_shared<Shelf>(), third = std::make_shared<Shelf>();
  stock(*third, named("k"), "value", {"an output"});
  open({{first_}, {second_, TierUse::read}, {written, TierUse::write}, {third, TierUse::both}});
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  EXPECT_EQ(drain(), 0u);
  ASSERT_TRUE(first_->entry(named("k"))) << "it said no, and may be written";
  EXPECT_EQ(first_->entry(named("k"))->value, "value");
  EXPECT_EQ(first_->entry(named("k"))->closure->at(0).digest, sized("an output").digest);
  EXPECT_EQ(first_->blob_count(), 1u);
  EXPECT_EQ(second_->lookups, 1u);
  EXPECT_EQ(second_->entry_puts, 0u) << "it may only be read";
  EXPECT_EQ(written->lookups, 0u) << "it may only be written";
  EXPECT_EQ(written->entry_puts, 0u) << "it did not say that it has none";
  EXPECT_EQ(third->entry_puts, 0u);
  // The first one has it now, so nobody asks the others.
  OpenStore other("native");
  std::vector<TierSettings> settings;
  settings.push_back({std::make_unique<test::TierDouble>("double", first_, other.clock), TierUse::read});
  settings.push_back({std::make_unique<test::TierDouble>("double", third, other.clock), TierUse::read});
  Tiers others(*other.cache, std::move(settings), other.clock);
  std::promise<TierAnswer> answer;
  others.fetch_entry(named("k"), {}, [&](TierAnswer said) { answer.set_value(said); });
  EXPECT_EQ(answer.get_future().get(), TierAnswer::found);
  EXPECT_EQ(third->lookups, 1u);
}

TEST_F(TiersTest, ManyWhoAskShareOneFetch) {
  stock(*first_, named("k"), "value", {"an output"});
  first_->sickness = Sickness::black_hole;
  open({{first_}});
  std::vector<std::future<TierAnswer>> answers;
  for (int i = 0; i < 50; ++i) answers.push_back(begin(named("k")));
  wait_for([&] { return first_->hanging > 0; });
  for (int i = 0; i < 50; ++i) answers.push_back(begin(named("k")));
  EXPECT_FALSE(is_ready(answers.front()));
  first_->sickness = Sickness::none;
  for (auto& answer : answers) EXPECT_EQ(answer.get(), TierAnswer::found);
  EXPECT_EQ(first_->lookups, 1u);
  EXPECT_EQ(first_->opens, 1u);
}

TEST_F(TiersTest, BeyondTheLineNobodyIsAsked) {
  first_->sickness = Sickness::black_hole;
  open({{first_}}, {.fetches_max = 2, .fetches_queued = 3});
  std::vector<std::future<TierAnswer>> answers;
  answers.push_back(begin(named("a")));
  answers.push_back(begin(named("b")));
  wait_for([&] { return first_->hanging == 2; });
  for (const char* key : {"c", "d", "e"}) answers.push_back(begin(named(key)));
  for (const char* key : {"f", "g"}) EXPECT_EQ(ask(named(key)), TierAnswer::not_asked);
  first_->sickness = Sickness::none;
  for (auto& answer : answers) EXPECT_EQ(answer.get(), TierAnswer::none);
}

TEST_F(TiersTest, WhatNobodyHasIsNotAskedForAgainForAWhile) {
  open({{first_}, {second_}}, {.negative_time = seconds(3), .negatives_max = 10});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(ask(named("k")), TierAnswer::none);
  EXPECT_EQ(first_->lookups, 1u);
  EXPECT_EQ(second_->lookups, 1u);
  store_.clock.advance(seconds(4));
  stock(*second_, named("k"), "value", {});
  EXPECT_EQ(ask(named("k")), TierAnswer::found) << "it is believed for a while only";
  // Nor of more than so many.
  for (int i = 0; i < 11; ++i) ask(named("n" + std::to_string(i)));
  const auto before = first_->lookups.load();
  ask(named("n0"));
  EXPECT_EQ(first_->lookups, before + 1);
  ask(named("n10"));
  EXPECT_EQ(first_->lookups, before + 1);
}

TEST_F(TiersTest, WhatWasPutHereIsNotSaidToBeNowhere) {
  open({{first_}});
  EXPECT_EQ(ask(named("k")), TierAnswer::none);
  put(named("k"), "value");
  EXPECT_EQ(drain(), 0u);
  must(EntryStore(*store_.cache).erase(named("k")));
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  EXPECT_EQ(value_of(named("k")), "value");
}

TEST_F(TiersTest, WhatAValueNeedsIsReadFromItWhereTheProtocolDoesNotSayIt) {
  stock(*first_, named("k"), "value", {"tree of leaf", "leaf"});
  first_->entries[key_of(named("k"))].closure.reset();
  open({{first_}});
  const auto read = [&](std::string_view value,
                        const Tiers::BringBlobs& bring) -> base::Result<std::vector<SizedBlob>> {
    EXPECT_EQ(value, "value");
    const SizedBlob tree = sized("tree of leaf");
    TRY(bring(std::span(&tree, 1)));
    EXPECT_TRUE(has("tree of leaf")) << "it can be read now";
    return std::vector<SizedBlob>{tree, sized("leaf")};
  };
  EXPECT_EQ(ask(named("k"), read), TierAnswer::found);
  EXPECT_TRUE(has("leaf"));
}

TEST_F(TiersTest, WhatAValueNeedsCountsMoreThanWhatATierSays) {
  stock(*first_, named("k"), "value", {});
  open({{first_}});
  const auto read = [&](std::string_view, const Tiers::BringBlobs&) -> base::Result<std::vector<SizedBlob>> {
    return std::vector<SizedBlob>{sized("nowhere")};
  };
  EXPECT_EQ(ask(named("k"), read), TierAnswer::none);
  EXPECT_EQ(value_of(named("k")), std::nullopt) << "I5: it would be a hit that cannot be used";
}

TEST_F(TiersTest, BlobsComeAlone) {
  stock(*second_, named("k"), "value", {"an output"});
  open({{first_}, {second_}, {std::make_shared<Shelf>(), TierUse::write}});
  EXPECT_EQ(ask_for(sized("an output")), TierAnswer::found);
  EXPECT_TRUE(has("an output"));
  EXPECT_EQ(ask_for(sized("another")), TierAnswer::none);
  EXPECT_EQ(ask_for({sized("an output").digest, 3}), TierAnswer::none) << "of another size it is another";
}

TEST_F(TiersTest, ABlobThatNobodyNamesStaysForTheTimeOfALeaseAndNoLonger) {
  stock(*first_, named("k"), "value", {"an output"});
  open({{first_}});
  set_promise_time(*store_.cache, std::chrono::hours(1));
  EXPECT_EQ(ask_for(sized("an output")), TierAnswer::found);
  must(store_.cache->prune({.dry_run = true}));  // no row is on its way any more
  must(store_.cache->prune({.all = true}));
  EXPECT_TRUE(has("an output"));
  set_promise_time(*store_.cache, milliseconds(0));
  must(store_.cache->prune({.all = true}));
  EXPECT_FALSE(has("an output"));
}

TEST_F(TiersTest, WhatIsPutGoesToThemLater) {
  open({{first_}, {second_, TierUse::read}, {std::make_shared<Shelf>(), TierUse::write, {.only_door = "bazel"}}});
  put(named("a"), "value a", {"one", "two"});
  put(named("b"), "value b", {"two", "three"});
  EXPECT_EQ(drain(), 0u);
  ASSERT_TRUE(first_->entry(named("a")) && first_->entry(named("b")));
  EXPECT_EQ(first_->entry(named("b"))->value, "value b");
  EXPECT_EQ(first_->blob_puts, 3u) << "what it has is not sent again";
  EXPECT_EQ(first_->asked_of_blobs, 4u);
  EXPECT_EQ(first_->flushes, 1u);
  EXPECT_EQ(second_->entry_puts, 0u);
  EXPECT_EQ(of(0).entries_out, 2u);
  EXPECT_EQ(of(0).bytes_out, 3u + 3 + 5 + 14);
  EXPECT_EQ(of(2).entries_out, 0u) << "it is for another door";
}

TEST_F(TiersTest, ATierThatPacksIsToldToSendABatchAndNotEachEntry) {
  open({{first_, TierUse::both, {.only_door = {}, .packs = true}}}, {.batch_time = seconds(1), .batch_max = 3});
  for (const char* key : {"a", "b"}) put(named(key), std::string("value ") + key, {"shared"});
  wait_for([&] { return first_->entry_puts == 2; });
  EXPECT_EQ(first_->flushes, 0u);
  EXPECT_EQ(of(0).unsent, 2u) << "they are not there for others yet";
  store_.clock.advance(milliseconds(900));
  std::this_thread::sleep_for(milliseconds(60));
  EXPECT_EQ(first_->flushes, 0u);
  store_.clock.advance(milliseconds(200));
  wait_for([&] { return of(0).unsent == 0; });
  EXPECT_EQ(first_->flushes, 1u) << "the oldest has waited for a second";
  for (const char* key : {"c", "d", "e", "f"}) put(named(key), std::string("value ") + key);
  wait_for([&] { return first_->entry_puts == 6; });
  wait_for([&] { return of(0).unsent == 1; });
  EXPECT_EQ(first_->flushes, 2u) << "there were three";
  EXPECT_EQ(drain(), 0u);
  EXPECT_EQ(first_->flushes, 4u) << "whoever ends does not wait, and asks once more";
}

TEST_F(TiersTest, ABatchThatIsNotSentIsTriedAgainUntilItIs) {
  open({{first_, TierUse::both, {.only_door = {}, .packs = true}}}, {.attempts_max = 3, .batch_max = 100});
  for (const char* key : {"a", "b"}) put(named(key), std::string("value ") + key);
  wait_for([&] { return first_->entry_puts == 2; });
  first_->sickness = Sickness::io;
  const auto let_time_pass = [&] {
    store_.clock.advance(milliseconds(500));
    std::this_thread::sleep_for(milliseconds(5));
  };
  while (first_->flushes < 8) let_time_pass();
  put(named("c"), "value c");
  EXPECT_EQ(of(0).dropped, 0u) << "the tier has them, and may still send them";
  EXPECT_EQ(of(0).unsent, 3u);
  EXPECT_EQ(first_->entry_puts, 2u) << "it gets no more meanwhile";
  first_->sickness = Sickness::none;
  while (of(0).unsent > 0) let_time_pass();
  EXPECT_TRUE(first_->entry(named("c")));
  EXPECT_EQ(of(0).dropped, 0u);
}

TEST_F(TiersTest, ABatchThatATierWillNeverTakeIsDropped) {
  open({{first_, TierUse::both, {.only_door = {}, .packs = true}}}, {.batch_max = 2});
  first_->sickness = Sickness::refuses_packs;
  for (const char* key : {"a", "b"}) put(named(key), std::string("value ") + key);
  wait_for([&] { return of(0).unsent == 0; });
  EXPECT_EQ(first_->flushes, 1u);
  EXPECT_EQ(of(0).dropped, 2u);
}

TEST_F(TiersTest, WhatIsNotTrustedStaysHere) {
  EntryName name = named("k");
  name.trust = Trust::untrusted;
  stock(*first_, name, "planted", {});
  open({{first_}});
  EXPECT_EQ(ask(name), TierAnswer::none);
  EXPECT_EQ(first_->lookups, 0u);
  put(name, "value");
  EXPECT_EQ(drain(), 0u);
  EXPECT_EQ(first_->entry_puts, 0u);
}

TEST_F(TiersTest, WhatIsStillToBeSentIsNotPruned) {
  first_->sickness = Sickness::black_hole;
  open({{first_}});
  put(named("k"), "value", {"an output"});
  wait_for([&] { return first_->hanging > 0; });
  must(EntryStore(*store_.cache).erase(named("k")));
  must(store_.cache->prune({.all = true}));
  EXPECT_TRUE(has("an output"));
  first_->sickness = Sickness::none;
  EXPECT_EQ(drain(), 0u);
  EXPECT_TRUE(first_->entry(named("k")));
}

TEST_F(TiersTest, ATierGetsOnlyWhatItCanKeep) {
  open({{first_, TierUse::both, {.blob_bytes_max = 10, .value_bytes_max = 10, .only_door = {}}}});
  put(named("small"), "value", {"an output"});
  put(named("large"), "value 2", {"a large output"});
  put(named("value"), "a large value", {});
  EXPECT_EQ(drain(), 0u);
  EXPECT_TRUE(first_->entry(named("small")));
  EXPECT_FALSE(first_->entry(named("large"))) << "nobody could use it";
  EXPECT_FALSE(first_->entry(named("value")));
  EXPECT_EQ(of(0).dropped, 2u);
}

TEST_F(TiersTest, ATierWithoutBlobsKeepsEntriesWhoseBlobsAreInAnother) {
  open({{first_, TierUse::both, {.keeps_blobs = false, .only_door = {}}}, {second_}});
  put(named("k"), "value", {"an output"});
  EXPECT_EQ(drain(), 0u);
  EXPECT_EQ(first_->blob_puts, 0u);
  must(EntryStore(*store_.cache).erase(named("k")));
  must(store_.cache->prune({.all = true}));
  EXPECT_FALSE(has("an output"));
  EXPECT_EQ(ask(named("k")), TierAnswer::found);
  EXPECT_TRUE(has("an output"));
  EXPECT_EQ(second_->lookups, 0u) << "the entry is from the first, its blob from the second";
}

TEST_F(TiersTest, WhatHasNoRoomIsNotFetched) {
  stock(*first_, named("k"), "value", {"an output"});
  std::atomic<std::uint64_t> asked{0};
  open({{first_}}, {.room = [&](std::uint64_t bytes) -> base::Status {
         asked += bytes;
         return base::fail(base::ErrorCode::no_space, "full");
       }});
  EXPECT_EQ(ask(named("k")), TierAnswer::none);
  EXPECT_EQ(asked, 9u);
  EXPECT_EQ(first_->opens, 0u);
  EXPECT_EQ(value_of(named("k")), std::nullopt);
  EXPECT_EQ(of(0).reading, BreakerState::closed) << "that is not the tier's fault";
}

TEST_F(TiersTest, WhoStillWaitsAtTheEndIsTold) {
  first_->sickness = Sickness::black_hole;
  open({{first_}}, {.fetches_max = 1});
  auto running = begin(named("a"));
  wait_for([&] { return first_->hanging > 0; });
  auto queued = begin(named("b"));
  tiers_.reset();
  EXPECT_NE(running.get(), TierAnswer::found);
  EXPECT_NE(queued.get(), TierAnswer::found);
}

TEST_F(TiersTest, AreCountedForPrometheus) {
  stock(*first_, named("k"), "value", {"an output"});
  open({{first_}});
  ask(named("k"));
  ask(named("none"));
  const std::string text = prometheus_text(tiers_->statistics());
  for (const char* line :
       {"# TYPE cairn_tier_hits_total counter\ncairn_tier_hits_total{tier=\"double 0\"} 1\n",
        "cairn_tier_misses_total{tier=\"double 0\"} 1\n", "cairn_tier_bytes_in_total{tier=\"double 0\"} 14\n",
        "cairn_tier_reading_state{tier=\"double 0\"} 0\n", "cairn_tier_unsent{tier=\"double 0\"} 0\n",
        "cairn_tier_faults_total{tier=\"double 0\",kind=\"busy\"} 0\n"})
    EXPECT_THAT(text, ::testing::HasSubstr(line));
}

}  // namespace
}  // namespace cairn::cache
