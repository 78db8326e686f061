// SPDX-License-Identifier: Apache-2.0
// The store that benches and tests of scale are filled with is one that publications could have made.
#include "tests/support/big_store.h"

#include <set>

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

// A store that was filled before anybody opened it.
class FilledStore : public OpenStore {
 public:
  explicit FilledStore(const test::BigStoreOptions& options) {
    close();
    {
      std::vector<const base::lmdb::RawTableSpec*> all(snapshot::tables().begin(), snapshot::tables().end());
      all.insert(all.end(), tables().begin(), tables().end());
      const auto filling = must(base::lmdb::Env::open(root() / "meta", all, {}));
      test::fill_big_store(*filling, root(), options);
    }
    open();
  }
};

TEST(BigStore, IsSoundAndItsRecordsAreFoundListedCountedAndPruned) {
  FilledStore store({.records = 400, .chain = 4, .projects = 7, .builds = 8, .steps = 5, .files = 1});
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
  for (std::uint64_t n = 0; n < 400; n += 27) {
    EXPECT_EQ(store.results(test::big_store_key(n)), std::vector{test::big_store_record(n)});
    const auto ref = must(store.cache->find(test::big_store_record(n)));
    ASSERT_TRUE(ref);
    EXPECT_EQ(store.read(*ref, "file0").size(), 100u);
    EXPECT_EQ(ref->info().parents.size(), n % 4 == 0 ? 0u : 1u);
  }
  const KeyLink link{.from = test::big_store_key(4), .operation = test::big_store_operation()};
  EXPECT_EQ(store.follow(link), std::vector{test::big_store_key(5)});
  const DiskUsage usage = must(store.cache->disk_usage());
  EXPECT_EQ(usage.records, 400u);
  for (const Dimension dimension : {Dimension::type, Dimension::project, Dimension::build, Dimension::step})
    EXPECT_EQ(must(usage_by(*store.env, dimension)).total_bytes,
              usage.tree_bytes + usage.blob_bytes + usage.pack_bytes - usage.pack_reclaimable_bytes)
        << to_string(dimension);
  const RecordId before = test::big_store_record(400);
  EXPECT_GT(store.make({}, "new").id(), before) << "ids go on behind it";
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 401u);
  EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0);
  EXPECT_EQ(store.findings(), std::vector<std::string>{});
}

// Never more than a round is chosen or remembered, and what a round took is accounted free when it ends.
TEST(BigStore, APruneOfEverythingWorksInRounds) {
  constexpr std::uint64_t records = 10'000, round = 2048;
  FilledStore store({.records = records, .chain = 4});
  std::set<RecordId> gone;
  std::vector<std::uint64_t> left_after_round;
  PruneOptions options{.all = true};
  options.removed = [&](PrunedRecord record) {
    for (const RecordId parent : record.parents) EXPECT_FALSE(gone.contains(parent)) << "children first";
    EXPECT_TRUE(gone.insert(record.id).second);
    if (gone.size() % round != 1) return;
    left_after_round.push_back(must(store.cache->disk_usage()).records);
  };
  const PruneReport report = must(store.cache->prune(options));
  EXPECT_EQ(gone.size(), records);
  EXPECT_EQ(report.records.size(), 0u);
  EXPECT_EQ(report.rounds, (records + round - 1) / round);
  EXPECT_EQ(report.chosen_max, round);
  EXPECT_LE(report.rows_visited, 3 * records);
  EXPECT_EQ(left_after_round, (std::vector<std::uint64_t>{records - round, records - 2 * round, records - 3 * round,
                                                          records - 4 * round, 0}));
  EXPECT_EQ(must(store.cache->disk_usage()).tree_bytes, 0);
}

// A round ends between a record and what only it keeps: the rule that took the one takes the other, young as it is.
TEST(BigStore, WhatOnlyATakenRecordKeepsGoesAlsoInTheNextRound) {
  using namespace std::chrono_literals;
  constexpr std::uint64_t round = 2048;
  FilledStore store({.records = round - 1, .chain = 1});
  store.clock.advance(1h);
  const RecordId parent = store.make({}, "kept by its child alone").id();
  RecordId child;
  {
    const ImmutableRef held = must(store.cache->find(parent)).value();
    child = store.make(held, "child", key(1)).id();
  }
  store.clock.advance(50h);
  { EXPECT_TRUE(must(store.cache->find(parent))); }
  store.clock.advance(1h);
  Policy policy;
  policy.order = PolicyOrder::cost;
  PolicyRule rule;
  rule.unused_for = 24h;
  policy.rules = {rule};
  const PruneReport report = must(store.cache->prune({.policy = policy}));
  EXPECT_EQ(report.rounds, 2u);
  ASSERT_EQ(report.records.size(), round + 1);
  EXPECT_EQ(report.records[round - 1].id, child);
  EXPECT_EQ(report.records[round].id, parent);
}

// Rounds begin at the head of the line. Where many stand there who stay, they grow, so that these are not looked at again
// and again.
TEST(BigStore, RoundsGrowWhereManyStay) {
  constexpr std::uint64_t records = 30'000;
  FilledStore store({.records = records, .chain = 1});
  Policy policy;
  policy.rules = {PolicyRule{.all = true}};
  policy.pins = {must(RecordFilter::parse("description~=[02468]$"))};
  const PruneReport report = must(store.cache->prune({.policy = policy}));
  EXPECT_EQ(report.records.size(), records / 2);
  EXPECT_EQ(report.passed.pinned, records / 2);
  EXPECT_LE(report.rows_visited, 8 * records);
}

}  // namespace
}  // namespace cairn::cache
