// SPDX-License-Identifier: Apache-2.0
// A tier that is made of others: where things are, and what becomes of them when some of the others are sick. Its
// conformance suite is where real ones are: tests/libremote_reapi, tests/e2e_cached.
#include "libcache/sharded_tier.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <future>
#include <thread>

#include "libcache/tiers/rendezvous.h"
#include "tests/conformance/remote_tier_calls.h"
#include "tests/libcache/store_fixture.h"
#include "tests/support/tier_double.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using std::chrono::milliseconds;
using test::Shelf;
using test::Sickness;
using testing::HasSubstr;

std::vector<std::string> digests(std::size_t count) {
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) all.emplace_back(base::digest_of<BlobDigest>(std::to_string(i)).raw());
  return all;
}

std::vector<Rendezvous> places(const std::vector<double>& weights) {
  std::vector<Rendezvous> all;
  for (const double weight : weights) all.push_back(rendezvous("grpc://host" + std::to_string(all.size()), weight));
  return all;
}

TEST(RendezvousTest, EachPlaceGetsTheShareOfItsWeight) {
  const std::vector<double> weights{1, 1, 2, 4};
  const auto all = places(weights);
  std::vector<double> firsts(4), seconds(4);
  const std::size_t count = 40'000;
  for (const std::string& digest : digests(count)) {
    ++firsts[ranked(all, digest)[0]];
    ++seconds[ranked(all, digest)[1]];
  }
  for (std::size_t i = 0; i < 4; ++i) EXPECT_NEAR(firsts[i] / count, weights[i] / 8, 0.01) << i;
  for (std::size_t i = 0; i < 4; ++i) EXPECT_GT(seconds[i], count / 16) << "nobody is left out as a mirror";
}

TEST(RendezvousTest, APlaceThatComesOrGoesMovesOnlyWhatIsItsOwn) {
  const auto five = places({1, 1, 1, 1, 1});
  const std::span<const Rendezvous> four(five.data(), 4);
  std::size_t moved = 0;
  for (const std::string& digest : digests(20'000)) {
    std::vector<std::size_t> with = ranked(five, digest);
    if (with[0] == 4) ++moved;
    std::erase(with, 4u);
    ASSERT_EQ(with, ranked(four, digest)) << "the others keep their order";
  }
  EXPECT_NEAR(static_cast<double>(moved), 4'000, 250);
}

TEST(RendezvousTest, TheOrderInWhichPlacesAreNamedDoesNotMatter) {
  const auto all = places({1, 2, 3});
  const std::vector<Rendezvous> reversed(all.rbegin(), all.rend());
  for (const std::string& digest : digests(1'000)) EXPECT_EQ(ranked(all, digest)[0], 2 - ranked(reversed, digest)[0]);
}

class ShardedTierTest : public ::testing::Test {
 protected:
  std::unique_ptr<RemoteTier> open(std::size_t count, ShardedOptions options, TierAbilities abilities = {}) {
    while (shelves_.size() < count) shelves_.push_back(std::make_shared<Shelf>());
    std::vector<TierPeer> peers;
    for (std::size_t i = 0; i < count; ++i)
      peers.push_back(
          {std::make_unique<test::TierDouble>("double://" + std::to_string(i), shelves_[i], clock_, abilities)});
    auto tier = make_sharded_tier(std::move(peers), clock_, std::move(options));
    EXPECT_TRUE(tier) << tier.error().message;
    return std::move(*tier);
  }
  static ShardedOptions mirrored(std::size_t mirrors = 2) {
    return {.mirrors = mirrors, .hedge_time = milliseconds(10), .stall_time = milliseconds(200)};
  }
  static EntryName name(int number) { return {.door = "ccache", .key = "entry " + std::to_string(number)}; }
  // Small ones, and one that is read as it comes.
  static std::vector<std::string> outputs(int number) {
    std::vector<std::string> all{"output of " + std::to_string(number)};
    if (number == 0) all.push_back(test::random_bytes(9, 3'000'000));
    return all;
  }
  static TierCall for_entry(int number, TierCall call = patient_call()) {
    call.entry = name(number);
    return call;
  }
  // An entry with what it needs, as Tiers puts it.
  static base::Status put(RemoteTier& tier, int number) {
    TierEntry entry{.value = "value " + std::to_string(number), .closure = std::vector<SizedBlob>()};
    for (const std::string& bytes : outputs(number)) {
      test::BytesSource source(bytes, 100'000);
      TRY(tier.put_blob(sized(bytes), source, for_entry(number)));
      entry.closure->push_back(sized(bytes));
    }
    return tier.put_entry(name(number), entry, patient_call());
  }
  // Whether all of it comes as it was put.
  static testing::AssertionResult comes_back(RemoteTier& tier, int number) {
    const auto found = tier.find_entry(name(number), patient_call());
    if (!found) return testing::AssertionFailure() << found.error().message;
    if (!*found) return testing::AssertionFailure() << "there is no entry " << number;
    if ((*found)->value != "value " + std::to_string(number)) return testing::AssertionFailure() << (*found)->value;
    for (const std::string& bytes : outputs(number)) {
      const auto got = cache::get(tier, sized(bytes), for_entry(number));
      if (!got) return testing::AssertionFailure() << number << ": " << got.error().message;
      if (*got != bytes) return testing::AssertionFailure() << number << ": " << got->substr(0, 40);
    }
    return testing::AssertionSuccess();
  }
  // Those that have it.
  std::vector<std::size_t> having(const EntryName& entry) const {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < shelves_.size(); ++i)
      if (shelves_[i]->entry(entry)) all.push_back(i);
    return all;
  }
  std::vector<std::size_t> having(const std::string& bytes) const {
    std::vector<std::size_t> all;
    for (std::size_t i = 0; i < shelves_.size(); ++i) {
      const std::lock_guard lock(shelves_[i]->mutex);
      if (shelves_[i]->blobs.contains(sized(bytes).digest)) all.push_back(i);
    }
    return all;
  }

  // Which of so many peers is asked for it first.
  static std::size_t first_of(int number, int count = 3) {
    std::vector<Rendezvous> all;
    for (int i = 0; i < count; ++i) all.push_back(rendezvous("double://" + std::to_string(i), 1));
    return ranked(all, std::string(key_of(name(number)).raw()))[0];
  }

  const base::SystemClock clock_;
  std::vector<std::shared_ptr<Shelf>> shelves_;
};

TEST_F(ShardedTierTest, AnEntryAndAllThatItNeedsIsOnItsMirrors) {
  const auto tier = open(4, mirrored());
  std::vector<std::size_t> entries(4);
  for (int i = 0; i < 200; ++i) {
    ASSERT_TRUE(put(*tier, i));
    const auto mirrors = having(name(i));
    ASSERT_EQ(mirrors.size(), 2u);
    for (const std::string& bytes : outputs(i)) EXPECT_EQ(having(bytes), mirrors);
    for (const std::size_t each : mirrors) ++entries[each];
    EXPECT_TRUE(comes_back(*tier, i));
  }
  for (const std::size_t count : entries) EXPECT_NEAR(static_cast<double>(count), 100, 35);
  const auto bytes = outputs(1)[0];
  EXPECT_EQ(cache::get(*tier, sized(bytes)), bytes) << "also for somebody who does not know what needs it";
  EXPECT_EQ(cache::get(*tier, sized("nobody has put it")), "none");
  EXPECT_FALSE(tier->find_entry(name(1'000), patient_call()).value());
}

TEST_F(ShardedTierTest, ByDigestABlobIsOnceWhateverNeedsIt) {
  ShardedOptions options = mirrored(1);
  options.by = ShardBy::digest;
  const auto tier = open(3, options);
  std::vector<SizedBlob> blobs;
  for (int i = 0; i < 300; ++i) {
    for (const int entry : {1, 2}) {
      const std::string bytes = "blob " + std::to_string(i);
      test::BytesSource source(bytes);
      ASSERT_TRUE(tier->put_blob(sized(bytes), source, for_entry(entry)));
    }
    blobs.push_back(sized("blob " + std::to_string(i)));
    blobs.push_back(sized("no blob " + std::to_string(i)));
    EXPECT_EQ(having("blob " + std::to_string(i)).size(), 1u);
  }
  for (const auto& shelf : shelves_) EXPECT_NEAR(static_cast<double>(shelf->blob_count()), 100, 35);
  const auto there = tier->has_blobs(blobs, patient_call()).value();
  for (std::size_t i = 0; i < blobs.size(); ++i) EXPECT_EQ(there[i], i % 2 == 0) << i;
  EXPECT_EQ(cache::get(*tier, blobs[0]), "blob 0");
}

TEST_F(ShardedTierTest, AMirrorServesWhatASickPeerHas) {
  for (const Sickness sickness :
       {Sickness::black_hole, Sickness::io, Sickness::busy, Sickness::unavailable, Sickness::slow_blobs,
        Sickness::slow_drip, Sickness::wrong_bytes, Sickness::cut_off, Sickness::endless}) {
    shelves_.clear();
    const auto well = open(3, mirrored());
    for (int i = 0; i < 12; ++i) ASSERT_TRUE(put(*well, i));
    for (const auto& sick : shelves_) {
      const auto tier = open(3, mirrored());  // of which nobody rests yet
      sick->sickness = sickness;
      for (int i = 1; i < 12; ++i) EXPECT_TRUE(comes_back(*tier, i)) << "sickness " << static_cast<int>(sickness);
      // A large blob is given as it comes: that a peer gave wrong bytes, all or only the first ones, is found out at
      // its end, and that peer is not asked the next time.
      const bool gives_wrong_ones =
          sickness == Sickness::wrong_bytes || sickness == Sickness::slow_drip || sickness == Sickness::endless;
      const bool came_back = comes_back(*tier, 0) || (gives_wrong_ones && comes_back(*tier, 0));
      EXPECT_TRUE(came_back) << "sickness " << static_cast<int>(sickness);
      sick->sickness = Sickness::none;
    }
  }
}

TEST_F(ShardedTierTest, AMirrorServesWhatAPeerHasLost) {
  const auto tier = open(3, mirrored());
  for (int i = 0; i < 12; ++i) ASSERT_TRUE(put(*tier, i));
  for (const auto& lost : shelves_) {
    std::map<BlobDigest, std::string> blobs;
    std::map<KeyDigest, TierEntry> entries;
    const auto swap = [&] {
      const std::lock_guard lock(lost->mutex);
      lost->blobs.swap(blobs);
      lost->entries.swap(entries);
    };
    swap();
    for (int i = 0; i < 12; ++i) EXPECT_TRUE(comes_back(*tier, i));
    swap();
  }
}

TEST_F(ShardedTierTest, ASilentPeerIsOvertakenAndThenNotAskedForAWhile) {
  const auto tier = open(2, mirrored());
  for (int i = 1; i < 40; ++i) ASSERT_TRUE(put(*tier, i));
  shelves_[0]->sickness = Sickness::black_hole;
  const auto began = clock_.steady_now();
  for (int i = 1; i < 40; ++i) EXPECT_TRUE(comes_back(*tier, i));
  EXPECT_LT(clock_.steady_now() - began, std::chrono::seconds(15)) << "no call was waited for to its deadline";
  const auto asked = shelves_[0]->lookups + shelves_[0]->opens;
  for (int i = 1; i < 10; ++i) EXPECT_TRUE(comes_back(*tier, i));
  EXPECT_EQ(shelves_[0]->lookups + shelves_[0]->opens, asked);
  shelves_[0]->sickness = Sickness::none;
  while (shelves_[0]->lookups + shelves_[0]->opens == asked) {
    for (int i = 1; i < 10; ++i) ASSERT_TRUE(comes_back(*tier, i));
    std::this_thread::sleep_for(milliseconds(10));
  }
}

TEST_F(ShardedTierTest, PutsAreDoneWhenOneMirrorHasIt) {
  for (const Sickness sickness : {Sickness::black_hole, Sickness::io, Sickness::busy}) {
    shelves_.clear();
    const auto tier = open(2, mirrored());
    shelves_[1]->sickness = sickness;
    // A silent one is left after the time of a stall; for the entry itself it is waited for to the deadline.
    TierCall call = for_entry(0, call_for(milliseconds(1'500)));
    for (const std::string& bytes : outputs(0)) {
      test::BytesSource source(bytes);
      const auto put = tier->put_blob(sized(bytes), source, for_entry(0));
      ASSERT_TRUE(put) << put.error().message;
      EXPECT_EQ(having(bytes), std::vector<std::size_t>{0});
    }
    ASSERT_TRUE(tier->put_entry(name(0), {.value = "value 0"}, call));
    shelves_[1]->sickness = Sickness::none;
    EXPECT_TRUE(comes_back(*tier, 0)) << "the mirror that was sick does not have it, and the other one is asked";
    EXPECT_FALSE(shelves_[1]->entry(name(0)));
  }
}

TEST_F(ShardedTierTest, WhileAPeerRestsTheNextOneTakesItsPlace) {
  const auto tier = open(3, mirrored());
  shelves_[0]->sickness = Sickness::busy;  // it rests at once
  for (int i = 1; i < 60; ++i) ASSERT_TRUE(put(*tier, i));
  std::size_t twice = 0;
  for (int i = 1; i < 60; ++i) twice += having(name(i)) == std::vector<std::size_t>{1, 2} ? 1 : 0;
  EXPECT_GT(twice, 50u);
  for (int i = 1; i < 60; ++i) EXPECT_TRUE(comes_back(*tier, i));
}

TEST_F(ShardedTierTest, WhatNotAllMirrorsHaveIsPutAgain) {
  const auto tier = open(2, mirrored());
  ASSERT_TRUE(put(*tier, 1));
  const SizedBlob blob = sized(outputs(1)[0]);
  EXPECT_EQ(tier->has_blobs({&blob, 1}, for_entry(1)).value(), std::vector<bool>{true});
  {
    const std::lock_guard lock(shelves_[0]->mutex);
    shelves_[0]->blobs.clear();
  }
  EXPECT_EQ(tier->has_blobs({&blob, 1}, for_entry(1)).value(), std::vector<bool>{false});
  shelves_[0]->sickness = Sickness::io;
  EXPECT_EQ(tier->has_blobs({&blob, 1}, for_entry(1)).value(), std::vector<bool>{true}) << "as far as anybody knows";
  shelves_[1]->sickness = Sickness::io;
  expect_error(tier->has_blobs({&blob, 1}, for_entry(1)), ErrorCode::io, "double://");
}

TEST_F(ShardedTierTest, WithoutMirrorsASickPeerMakesMissesOfItsOwnOnly) {
  const auto tier = open(3, mirrored(1));
  for (int i = 1; i < 60; ++i) ASSERT_TRUE(put(*tier, i));
  shelves_[0]->sickness = Sickness::io;
  for (int i = 1; i < 60; ++i) {
    const auto found = tier->find_entry(name(i), patient_call());
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->has_value(), having(name(i)) != std::vector<std::size_t>{0});
  }
}

TEST_F(ShardedTierTest, WhenAllAreSickItSaysSo) {
  const auto tier = open(3, mirrored());
  for (const auto& shelf : shelves_) shelf->sickness = Sickness::io;
  expect_all(*tier, name(1), ErrorCode::io, "500", "500");
  for (const auto& shelf : shelves_) shelf->sickness = Sickness::unavailable;
  for (int i = 0; i < 3; ++i) (void)tier->find_entry(name(i), patient_call());
  expect_all(*tier, name(1), ErrorCode::busy, "all of them rest", "all of them rest");
}

TEST_F(ShardedTierTest, AnEntryOnceFoundIsNotLookedForElsewhere) {
  const auto tier = open(3, {.mirrors = 2, .hedge_time = std::chrono::seconds(20)});
  ASSERT_TRUE(put(*tier, 1));
  EXPECT_TRUE(comes_back(*tier, 1));
  std::uint64_t lookups = 0;
  for (const auto& shelf : shelves_) lookups += shelf->lookups;
  EXPECT_EQ(lookups, 1u);
}

TEST_F(ShardedTierTest, WhatCannotBe) {
  const auto refused = [&](std::vector<std::pair<std::string, double>> peers, std::size_t mirrors,
                           const std::string& door = "") {
    std::vector<TierPeer> made;
    for (const auto& [peer, weight] : peers)
      made.push_back({std::make_unique<test::TierDouble>(peer, std::make_shared<Shelf>(), clock_,
                                                         TierAbilities{.only_door = made.empty() ? "" : door}),
                      weight});
    const auto tier = make_sharded_tier(std::move(made), clock_, {.mirrors = mirrors});
    return tier ? "" : tier.error().code == ErrorCode::invalid_argument ? tier.error().message : "another error";
  };
  EXPECT_EQ(refused({{"a", 1}, {"b", 2.5}}, 2), "");
  EXPECT_THAT(refused({}, 1), HasSubstr("there are none"));
  EXPECT_THAT(refused({{"a", 1}}, 2), HasSubstr("as many mirrors"));
  EXPECT_THAT(refused({{"a", 1}}, 0), HasSubstr("as many mirrors"));
  EXPECT_THAT(refused({{"a", 1}, {"a", 1}}, 1), HasSubstr("a is there twice"));
  EXPECT_THAT(refused({{"a", 0}}, 1), HasSubstr("weight"));
  EXPECT_THAT(refused({{"a", 1}, {"b", 1}}, 1, "bazel"), HasSubstr("different doors"));
}

TEST_F(ShardedTierTest, EachPeerIsCountedByItself) {
  const auto tier = open(2, {.mirrors = 2, .hedge_time = std::chrono::seconds(20)});
  int number = 1;
  while (first_of(number, 2) != 0) ++number;
  ASSERT_TRUE(put(*tier, number));
  shelves_[0]->sickness = Sickness::busy;  // it rests at once
  EXPECT_TRUE(comes_back(*tier, number));
  const auto peers = tier->peers();
  ASSERT_EQ(peers.size(), 2u);
  const std::size_t bytes = outputs(number)[0].size() + ("value " + std::to_string(number)).size();
  EXPECT_EQ(peers[0].name, "double://0");
  EXPECT_EQ(peers[0].bytes_out, bytes);
  EXPECT_EQ(peers[0].bytes_in, 0u);
  EXPECT_EQ(peers[0].errors, 1u);
  EXPECT_EQ(peers[0].state, BreakerState::open);
  EXPECT_EQ(peers[1].bytes_out, bytes);
  EXPECT_EQ(peers[1].bytes_in, bytes);
  EXPECT_EQ(peers[1].errors, 0u);
  EXPECT_EQ(peers[1].state, BreakerState::closed);
}

TEST_F(ShardedTierTest, APeerThatTakesLongIsHedgedByAnotherThatIsCounted) {
  const auto tier = open(2, mirrored());
  for (int i = 1; i < 20; ++i) ASSERT_TRUE(put(*tier, i));
  shelves_[0]->sickness = Sickness::black_hole;
  for (int i = 1; i < 20; ++i) EXPECT_TRUE(comes_back(*tier, i));
  while (shelves_[0]->hanging > 0) std::this_thread::sleep_for(milliseconds(1));
  const auto peers = tier->peers();
  EXPECT_GE(peers[1].hedges, 5u);
  EXPECT_LE(peers[1].hedges, 7u) << "the silent one rests when five were too late";
  EXPECT_EQ(peers[0].hedges, 0u);
  EXPECT_GE(peers[0].errors, 5u);
  EXPECT_EQ(peers[0].state, BreakerState::open);
}

TEST_F(ShardedTierTest, NoMoreThanAShareIsHedged) {
  ShardedOptions options = mirrored();
  options.rests.hedge_share = 0.1;
  options.rests.hedges_at_once = 2;
  options.rests.failures_max = 1'000;
  const auto tier = open(2, options);
  for (int i = 1; i < 20; ++i) ASSERT_TRUE(put(*tier, i));
  shelves_[0]->sickness = Sickness::black_hole;
  std::size_t late = 0;
  for (int i = 1; i < 20; ++i) late += tier->find_entry(name(i), call_for(milliseconds(100))).has_value() ? 0 : 1;
  std::size_t of_the_silent_one = 0;
  for (int i = 1; i < 20; ++i) of_the_silent_one += first_of(i, 2) == 0 ? 1 : 0;
  EXPECT_LE(tier->peers()[1].hedges, 3u) << "two, and a tenth of nineteen";
  EXPECT_EQ(late, of_the_silent_one - tier->peers()[1].hedges);
}

TEST_F(ShardedTierTest, APeerThatPacksIsToldWhatIsGoingToBeRead) {
  const auto tier = open(3, mirrored(), {.only_door = {}, .packs = true});
  const std::vector<SizedBlob> blobs{sized("a"), sized("b"), sized("c")};
  ASSERT_TRUE(tier->read_ahead(blobs, patient_call()));
  for (const auto& shelf : shelves_) EXPECT_EQ(shelf->ahead, 0u) << "nobody knows which entry needs them";
  ASSERT_TRUE(tier->read_ahead(blobs, for_entry(1)));
  std::vector<std::uint64_t> told;
  for (const auto& shelf : shelves_) told.push_back(shelf->ahead);
  EXPECT_THAT(told, testing::UnorderedElementsAre(3, 0, 0)) << "the one that is asked first";
  ASSERT_TRUE(tier->flush(patient_call()));
  EXPECT_EQ(tier->packing().packs_out, 3u);
  EXPECT_EQ(tier->packing().objects_known, 21u);
}

class ShardedTiersTest : public ShardedTierTest {
 protected:
  std::unique_ptr<Tiers> tiers_on(OpenStore& store, TiersOptions options = {}) {
    std::vector<TierSettings> settings;
    ShardedOptions peers = mirrored();
    peers.hedge_time = hedge_time_;
    settings.push_back({open(3, std::move(peers)), TierUse::both});
    return std::make_unique<Tiers>(*store.cache, std::move(settings), clock_, std::move(options));
  }
  // As a door does it.
  void build(OpenStore& store, int count) {
    const auto tiers = tiers_on(store);
    for (int i = 0; i < count; ++i) {
      NewEntry entry{.name = name(i), .value = must(store.cache->blobs().put("value")).info.digest};
      for (const std::string& bytes : outputs(i))
        entry.closure.push_back(must(store.cache->blobs().put(bytes)).info.digest);
      must(EntryStore(*store.cache).put(entry));
      tiers->send(entry);
    }
    ASSERT_EQ(tiers->drain(clock_.steady_now() + std::chrono::seconds(30)), 0u);
  }
  static TierAnswer fetch(Tiers& tiers, int number) {
    std::promise<TierAnswer> answer;
    tiers.fetch_entry(name(number), {}, [&](TierAnswer said) { answer.set_value(said); });
    return answer.get_future().get();
  }
  static void lose_all(Shelf& shelf) {
    const std::lock_guard lock(shelf.mutex);
    shelf.blobs.clear();
    shelf.entries.clear();
  }
  OpenStore first_{"native"}, second_{"native"};
  milliseconds hedge_time_{20'000};
};

TEST_F(ShardedTiersTest, APeerThatLostItGetsAgainWhatAMirrorWasReadFor) {
  const int count = 24;
  build(first_, count);
  lose_all(*shelves_[0]);
  const auto tiers = tiers_on(second_);
  for (int i = 0; i < count; ++i) EXPECT_EQ(fetch(*tiers, i), TierAnswer::found);
  ASSERT_EQ(tiers->drain(clock_.steady_now() + std::chrono::seconds(30)), 0u);
  int again = 0;
  for (int i = 0; i < count; ++i) {
    if (first_of(i) != 0) continue;
    ++again;
    EXPECT_THAT(having(name(i)), testing::Contains(0u));
    for (const std::string& bytes : outputs(i)) EXPECT_THAT(having(bytes), testing::Contains(0u));
  }
  EXPECT_GT(again, 0);
  EXPECT_EQ(shelves_[0]->entries.size(), static_cast<std::size_t>(again)) << "nothing that nobody has missed";
  EXPECT_EQ(tiers->statistics()[0].entries_out, static_cast<std::uint64_t>(again));
  EXPECT_GE(tiers->statistics()[0].peers[0].missed, static_cast<std::uint64_t>(again));
}

TEST_F(ShardedTiersTest, OneBlobThatAPeerLostIsPutAgain) {
  build(first_, 8);
  int number = 0;
  while (first_of(number) != 0) ++number;
  {
    const std::lock_guard lock(shelves_[0]->mutex);
    shelves_[0]->blobs.erase(sized(outputs(number)[0]).digest);
  }
  const auto tiers = tiers_on(second_);
  for (int i = 0; i < 8; ++i) EXPECT_EQ(fetch(*tiers, i), TierAnswer::found);
  ASSERT_EQ(tiers->drain(clock_.steady_now() + std::chrono::seconds(30)), 0u);
  EXPECT_THAT(having(outputs(number)[0]), testing::Contains(0u));
  EXPECT_EQ(tiers->statistics()[0].entries_out, 1u);
  EXPECT_EQ(tiers->statistics()[0].blobs_out, 1u);
}

TEST_F(ShardedTiersTest, WhatIsNewGoesBeforeWhatIsPutAgain) {
  build(first_, 24);
  lose_all(*shelves_[0]);
  for (const auto& shelf : shelves_) shelf->entry_puts = 0;
  // Whoever reads does not wait for a peer that takes nothing, and the line keeps room for what is new.
  const auto tiers = tiers_on(second_, {.unsent_max = 4});
  for (int i = 0; i < 24; ++i) EXPECT_EQ(fetch(*tiers, i), TierAnswer::found);
  EXPECT_LE(tiers->statistics()[0].unsent, 3u);
  EXPECT_EQ(tiers->statistics()[0].dropped, 0u) << "what is not put again now is missed again";
}

// What doors have is sent to the peers with what it needs, and comes back with one of them gone.
TEST_F(ShardedTiersTest, TiersPutAnEntryWithItsBlobsInOnePlace) {
  hedge_time_ = milliseconds(10);
  build(first_, 8);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(having(name(i)).size(), 2u);
    for (const std::string& bytes : outputs(i)) EXPECT_EQ(having(bytes), having(name(i)));
  }
  shelves_[0]->sickness = Sickness::black_hole;
  const auto tiers = tiers_on(second_);
  for (int i = 0; i < 8; ++i) {
    EXPECT_EQ(fetch(*tiers, i), TierAnswer::found);
    for (const std::string& bytes : outputs(i))
      EXPECT_TRUE(must(second_.cache->blobs().find(sized(bytes).digest)).has_value());
  }
}

}  // namespace
}  // namespace cairn::cache
