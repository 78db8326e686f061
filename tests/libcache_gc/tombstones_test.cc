// SPDX-License-Identifier: Apache-2.0
// A key whose record was taken says when, by which rule, and what it costs; making it again is regret.
#include "libcache/gc/tombstones.h"
#include "tests/libcache_gc/policy_fixture.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

TEST(Tombstone, SaysWhenByWhichRuleAndWhatItCosts) {
  PolicyStore store;
  store.add({}, {.key = key(1), .build_time = 41s});
  store.sync();
  store.clock.advance(1h);
  const base::WallTime when = store.clock.now();
  store.run(policy_of({PolicyRule{.name = "first", .unused_for = 9h}, PolicyRule{.name = "space"}}));
  const auto found = must(store.cache->find_tombstone(key(1)));
  ASSERT_TRUE(found);
  EXPECT_EQ(found->when, when);
  EXPECT_EQ(found->rule, "rule 2 \"space\"");
  EXPECT_EQ(found->build_time, 41s);
  EXPECT_FALSE(must(store.cache->find_tombstone(key(2))));
  store.reopen();
  EXPECT_TRUE(must(store.cache->find_tombstone(key(1))));
}

TEST(Tombstone, MakingItAgainIsRegretAndCountsOnce) {
  PolicyStore store;
  store.add({}, {.key = key(1), .build_time = 41s});
  store.add({}, {.key = key(2), .build_time = 5s});
  store.sync();
  store.run(policy_of({PolicyRule{}}));
  EXPECT_EQ(must(store.cache->regret()).count, 0u);
  for (int turn = 0; turn < 2; ++turn) {
    store.add({}, {.key = key(1), .build_time = 40s});
    store.sync();
  }
  EXPECT_EQ(must(store.cache->regret()).count, 1u);
  EXPECT_EQ(must(store.cache->regret()).build_time, 41s);
  EXPECT_FALSE(must(store.cache->find_tombstone(key(1))));
  EXPECT_TRUE(must(store.cache->find_tombstone(key(2))));
}

// A step has several keys, and is made again once.
TEST(Tombstone, AResultWithSeveralKeysIsOneRegret) {
  PolicyStore store;
  const auto make = [&] {
    Publication publication;
    const ImmutableRef ref = store.commit(publication, {}, "file", "x", {.build_time = 7s});
    for (int i = 1; i <= 3; ++i) publication.add_result(key(i), ref);
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  };
  make();
  store.run(policy_of({PolicyRule{}}));
  for (int i = 1; i <= 3; ++i) EXPECT_TRUE(must(store.cache->find_tombstone(key(i)))) << i;
  make();
  EXPECT_EQ(must(store.cache->regret()).count, 1u);
  EXPECT_EQ(must(store.cache->regret()).build_time, 7s);
  for (int i = 1; i <= 3; ++i) EXPECT_FALSE(must(store.cache->find_tombstone(key(i)))) << i;
}

TEST(Tombstone, AKeyThatStillLeadsElsewhereHasNone) {
  PolicyStore store;
  const RecordId first = store.add({}, {.key = key(1)}).id();
  store.sync();
  std::optional<ImmutableRef> second = store.add({}, {.key = key(1)});
  store.sync();
  EXPECT_EQ(ids_of(store.run(policy_of({PolicyRule{}}))), std::vector{first});
  EXPECT_FALSE(must(store.cache->find_tombstone(key(1))));
  second.reset();
  store.run(policy_of({PolicyRule{}}));
  EXPECT_TRUE(must(store.cache->find_tombstone(key(1))));
}

TEST(Tombstone, OldOnesGoWithTheTransactionsThatAddNewOnes) {
  PolicyStore store;
  const auto take = [&](int n) {
    store.add({}, {.key = key(n)});
    store.sync();
    store.run(policy_of({PolicyRule{}}));
  };
  take(1), take(2);
  store.clock.advance(tombstone_age_max + 1h);
  take(3);
  EXPECT_FALSE(must(store.cache->find_tombstone(key(1))));
  EXPECT_FALSE(must(store.cache->find_tombstone(key(2))));
  EXPECT_TRUE(must(store.cache->find_tombstone(key(3))));
  const auto rows = must(store.env->view([](base::lmdb::ReadTxn& txn) { return txn.count(table::tombstones_by_age); }));
  EXPECT_EQ(rows, 1u);
}

}  // namespace
}  // namespace cairn::cache
