// SPDX-License-Identifier: Apache-2.0
// What rules take and leave, that a rehearsal says exactly what the next run deletes, and what selecting costs.
#include <random>

#include "libcache/explain_policy.h"
#include "libcache/gc/candidates.h"
#include "libcache/gc/selection_view.h"
#include "tests/libcache_gc/policy_fixture.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

TEST(PolicyRun, ACeilingTakesTheCheapestFirst) {
  PolicyStore store;
  const RecordId dear = store.add({}, {.bytes = 100'000, .key = key(1), .build_time = 100s}).id();
  const RecordId cheap = store.add({}, {.bytes = 100'000, .key = key(2), .build_time = 1s}).id();
  const RecordId small_and_slow = store.add({}, {.bytes = 5'000, .key = key(3), .build_time = 50s}).id();
  store.sync();
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{cheap});
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{dear});
  EXPECT_TRUE(store.has(small_and_slow));
}

TEST(PolicyRun, LruTakesWhatWasNotUsedForLongest) {
  PolicyStore store;
  const RecordId first = store.add({}, {.key = key(1)}).id();
  store.clock.advance(1h);
  const RecordId second = store.add({}, {.key = key(2), .build_time = 1h}).id();
  store.sync();
  store.clock.advance(1h);
  store.use(first);
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}, PolicyOrder::lru))), std::vector{second});
}

TEST(PolicyRun, WhatIsUsedOutlivesWhatIsNotAtEqualCost) {
  PolicyStore store;
  const RecordId used = store.add({}, {.key = key(1)}).id();
  const RecordId unused = store.add({}, {.key = key(2)}).id();
  store.sync();
  store.clock.advance(1s);
  for (int i = 0; i < 3; ++i) store.use(used);
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{unused});
}

TEST(PolicyRun, TheDearerMayLieIdleForLongerAndNotForEver) {
  PolicyStore store;
  const RecordId dear = store.add({}, {.bytes = 100'000, .key = key(1), .build_time = 100s}).id();
  store.clock.advance(1h);
  const RecordId cheap = store.add({}, {.bytes = 100'000, .key = key(2), .build_time = 1s}).id();
  store.sync();
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  store.clock.advance(10h);
  EXPECT_EQ(ids_of(store.rehearse(policy_of({rule}))), std::vector{cheap});  // 11 h against 10 h
  store.use(cheap);
  store.clock.advance(1h);
  EXPECT_EQ(ids_of(store.rehearse(policy_of({rule}))), std::vector{dear});  // 12 h against 1 h
}

// A step that hits asks nothing of what it was made of. The next change of it will.
TEST(PolicyRun, WhatUsedThingsWereMadeOfIsNotIdle) {
  PolicyStore store;
  const RecordId object = store.add({}, {.bytes = 100'000, .key = key(1)}).id();
  const RecordId library = store.add({}, {.bytes = 100'000, .key = key(2), .made_of = {key(1)}}).id();
  const RecordId program = store.add({}, {.bytes = 100'000, .key = key(3), .made_of = {key(2)}}).id();
  const RecordId other_object = store.add({}, {.bytes = 100'000, .key = key(4)}).id();
  const RecordId other_program = store.add({}, {.bytes = 100'000, .key = key(5), .made_of = {key(4)}}).id();
  store.clock.advance(1h);
  const RecordId newer = store.add({}, {.bytes = 100'000, .key = key(6)}).id();
  store.sync();
  store.clock.advance(1h);
  store.use(program);
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 250'000));
  EXPECT_EQ(ids_of(store.rehearse(policy_of({rule}))), (std::vector{other_object, other_program, newer}));
  EXPECT_EQ(ids_of(store.rehearse(policy_of({rule}, PolicyOrder::lru))), (std::vector{object, library, other_object}));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), (std::vector{other_object, other_program, newer}));
  // What was found out is written down: it is no news the next time.
  const PlacesRow places =
      *must(store.env->view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::candidate_places, object); }));
  EXPECT_EQ(idle_since(places.by_cost), idle_since(place_by_cost(1, store.clock.now())));
  EXPECT_LT(places.last_used, store.clock.now() - 1h);
}

// Of many things made of one, it is enough to find one of 64 that was used.
TEST(PolicyRun, ThingsMadeOfOneAreLookedAtUpToABound) {
  PolicyStore store;
  const RecordId root = store.add({}, {.key = key(1)}).id();
  for (int i = 0; i < 200; ++i) store.add({}, {.bytes = 10, .key = key(100 + i), .made_of = {key(1)}});
  store.sync();
  const auto view = view_rows(*store.env, store.clock.now());
  EXPECT_GT(must(view->last_use_of_products(root, {})), base::WallTime{});
  store.clock.advance(1h);
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(store.run(policy_of({rule})).records.size(), 1u);
}

TEST(Places, ByCostAreInClassesAndKeepTheirTime) {
  const base::WallTime now = base::from_unix_ns(1'800'000'000'000'000'000);
  RecordInfo record;
  record.last_used = now - 3h;
  record.facts.build_time = 0s;
  EXPECT_EQ(worth_of(record, Keyed::no), 0);
  EXPECT_EQ(places_of(record, Keyed::no).by_cost, Rank());
  WorthClass before = worth_of(record, Keyed::yes);
  EXPECT_GE(before, 1);
  for (std::int64_t seconds = 1; seconds < 1'000'000'000; seconds *= 16) {
    record.facts.build_time = std::chrono::seconds(seconds);
    const WorthClass worth = worth_of(record, Keyed::yes);
    EXPECT_GE(worth, before);
    before = worth;
    const Rank place = places_of(record, Keyed::yes).by_cost;
    EXPECT_EQ(worth_at(place), worth);
    EXPECT_LT(record.last_used - idle_since(place), std::chrono::nanoseconds(256));
    EXPECT_LT(first_of(worth), place);
    EXPECT_LT(place, first_of(worth + 1u));
  }
  record.use_count = UINT64_MAX;
  record.facts.build_time = std::chrono::nanoseconds::max();
  EXPECT_LE(worth_of(record, Keyed::yes), 32);
  // Twice four times as dear: 1.32 times as long.
  const auto turn = [&](WorthClass worth, std::chrono::minutes idle) {
    return turn_by_cost(place_by_cost(worth, now - idle), now);
  };
  EXPECT_LT(turn(10, 1000min), turn(12, 1300min));
  EXPECT_GT(turn(10, 1000min), turn(12, 1340min));
  EXPECT_EQ(turn_by_cost(Rank(), now), 0u);
  // Clocks go back, and rows lie.
  EXPECT_GT(turn(1, -1000min), turn(1, 1min));
  EXPECT_GT(turn_by_cost(Rank(UINT64_MAX), now), 0u);
}

TEST(PolicyRun, WhatNoKeyLeadsToGoesFirst) {
  PolicyStore store;
  const RecordId keyed = store.add({}, {.key = key(1), .build_time = 1ns}).id();
  const RecordId unkeyed = store.add({}, {.build_time = 1h}).id();
  store.sync();
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{unkeyed});
  EXPECT_TRUE(store.has(keyed));
}

TEST(PolicyRun, AgeIsAboutARecordAndWhatOnlyItKeeps) {
  PolicyStore store;
  RecordId shared, own, leaf, young;
  {
    const ImmutableRef a = store.add({}, {});  // no key: only what is built on it keeps it
    const ImmutableRef b = store.add(a, {});
    shared = a.id(), own = b.id();
    leaf = store.add(b, {.key = key(1)}).id();
    young = store.add(a, {.key = key(2)}).id();
  }
  store.sync();
  store.clock.advance(50h);
  store.use(young);
  PolicyRule rule;
  rule.unused_for = 48h;
  // The leaf is too old; its parent was nobody else's; theirs is also that of what is young.
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), (std::vector{leaf, own}));
  EXPECT_TRUE(store.has(shared));
  EXPECT_TRUE(store.has(young));
}

TEST(PolicyRun, AParentThatWasUsedItselfOutlivesItsExpiredChild) {
  PolicyStore store;
  RecordId parent, child;
  {
    const ImmutableRef a = store.add({}, {.key = key(1)});
    parent = a.id();
    child = store.add(a, {.key = key(2)}).id();
  }
  store.sync();
  store.clock.advance(50h);
  store.use(parent);
  PolicyRule rule;
  rule.unused_for = 48h;
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{child});
}

TEST(PolicyRun, PinsHoldsAndLeasesStayWhateverRulesSay) {
  PolicyStore store;
  const RecordId pinned = store.add({}, {.key = key(1), .description = "base image"}).id();
  std::optional<ImmutableRef> held = store.add({}, {.key = key(2)});
  RecordId leased;
  {
    const ImmutableRef ref = store.add({}, {.key = key(3)});
    leased = ref.id();
    store.last = must(store.cache->create_lease({.owner = "test", .records = {ref}})).sequence;
  }
  const RecordId plain = store.add({}, {.key = key(4)}).id();
  store.sync();
  Policy policy = policy_of({PolicyRule{}});
  policy.pins.push_back(filter("description~=^base"));
  const PruneReport report = store.run(policy);
  EXPECT_EQ(ids_of(report), std::vector{plain});
  EXPECT_EQ(report.passed.pinned, 1u);
  EXPECT_EQ(report.passed.in_use, 2u);
  EXPECT_TRUE(store.has(pinned));
  EXPECT_TRUE(store.has(leased));
}

TEST(PolicyRun, ARuleWithFiltersLooksAtItsOwnShare) {
  PolicyStore store;
  for (int i = 0; i < 4; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  const RecordId mount = store.add({}, {.bytes = 100'000, .key = key(10), .type = RecordType::exec_cache_mount}).id();
  store.sync();
  PolicyRule rule;
  rule.filters.push_back(filter("type==exec.cachemount"));
  rule.ceiling = Space::bytes(200'000);
  EXPECT_TRUE(store.run(policy_of({rule})).records.empty());  // the other records are nothing to it
  rule.ceiling = Space::bytes(50'000);
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{mount});
  rule.filters = {filter("description~=make")};  // more than a type: added up
  rule.ceiling = Space::bytes(250'000);
  EXPECT_EQ(store.run(policy_of({rule})).records.size(), 2u);
}

TEST(PolicyRun, WhatIsInternalTakesARuleThatSaysAll) {
  PolicyStore store;
  const RecordId internal = store.add({}, {.key = key(1), .type = RecordType::internal}).id();
  store.sync();
  PolicyRule rule;
  EXPECT_TRUE(store.run(policy_of({rule})).records.empty());
  rule.all = true;
  EXPECT_EQ(ids_of(store.run(policy_of({rule}))), std::vector{internal});
}

TEST(PolicyRun, NothingGoesBelowTheFloorWhateverItsSize) {
  PolicyStore store;
  store.add({}, {.bytes = 1'000'000, .key = key(1), .build_time = 1ns});  // cheapest, and too large
  const RecordId small = store.add({}, {.bytes = 10'000, .key = key(2), .build_time = 10s}).id();
  store.sync();
  PolicyRule rule;
  const std::int64_t floor = store.live() - 100'000;
  rule.floor = Space::bytes(static_cast<std::uint64_t>(floor));
  const PruneReport report = store.run(policy_of({rule}));
  EXPECT_EQ(ids_of(report), std::vector{small});
  EXPECT_EQ(report.passed.below_floor, 1u);
  EXPECT_GE(store.live(), floor);
}

TEST(PolicyRun, AStoreOlderThanTheTablesOfCandidatesGetsThem) {
  PolicyStore store;
  {
    const ImmutableRef a = store.add({}, {.key = key(1)});
    store.add(a, {.key = key(2)});
  }
  store.sync();
  const auto drop = [&](const auto& table) {
    std::vector<std::string> keys;
    must(store.env->view([&](base::lmdb::ReadTxn& txn) {
      return txn.scan_raw(table, {}, {}, [&](std::string_view k, std::string_view) -> base::Result<base::lmdb::Scan> {
        keys.emplace_back(k);
        return base::lmdb::Scan::next;
      });
    }));
    must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
      for (const std::string& k : keys) TRY(txn.erase_raw(table, k));
      return {};
    }));
  };
  for (const auto* table : tables())
    if (const std::string_view name = table->name; name.starts_with("cache.candidate") || name == "cache.collector")
      drop(*table);
  EXPECT_EQ(must(store.cache->prune({.all = true})).records.size(), 2u);
}

// Places of an order that is no more say nothing.
TEST(PolicyRun, AStoreOfOlderOrdersGetsItsPlacesAnew) {
  PolicyStore store;
  const RecordId id = store.add({}, {.key = key(1)}).id();
  store.sync();
  const auto places = [&] {
    return *must(store.env->view([&](base::lmdb::ReadTxn& txn) { return txn.get(table::candidate_places, id); }));
  };
  const PlacesRow now = places();
  PlacesRow old = now;
  old.by_cost = Rank(12345);
  must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(move_candidate(txn, id, old));
    return txn.put(table::collector, "orders", CollectorRow{1});
  }));
  EXPECT_TRUE(must(store.cache->prune({.dry_run = true, .policy = policy_of({PolicyRule{}})})).records.size() == 1u);
  EXPECT_EQ(places(), now);
  EXPECT_TRUE(store.findings().empty());
}

TEST(PolicyRun, CheckSeesACandidateThatHasNoPlaceAndOneThatIsNone) {
  PolicyStore store;
  RecordId parent, child;
  {
    const ImmutableRef a = store.add({}, {.key = key(1)});
    parent = a.id();
    child = store.add(a, {.key = key(2)}).id();
  }
  store.sync();
  EXPECT_TRUE(store.findings().empty());
  must(store.env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(drop_candidate(txn, child));
    return txn.put(table::candidate_places, parent, PlacesRow{});
  }));
  EXPECT_EQ(store.findings().size(), 4u);  // the two, and both lines that do not have the other row
}

// A store and a policy that chance made.
class RandomStore {
 public:
  explicit RandomStore(unsigned seed) : random_(seed) {}

  unsigned below(unsigned n) { return std::uniform_int_distribution<unsigned>(0, n - 1)(random_); }

  void fill(PolicyStore& store, std::vector<ImmutableRef>& held) {
    constexpr RecordType types[] = {RecordType::regular, RecordType::source_local, RecordType::exec_cache_mount,
                                    RecordType::internal};
    std::vector<ImmutableRef> all;
    for (int i = 0; i < 24; ++i) {
      std::optional<ImmutableRef> parent;
      if (!all.empty() && below(2) == 0) parent = all[below(static_cast<unsigned>(all.size()))];
      PolicyStore::Wanted wanted;
      wanted.bytes = below(150'000);
      if (below(4) != 0) wanted.key = key(static_cast<int>(below(1000)) + 1000 * i);
      if (wanted.key && !keys_.empty())
        for (unsigned n = below(3); n > 0; --n)
          wanted.made_of.push_back(keys_[below(static_cast<unsigned>(keys_.size()))]);
      if (wanted.key) keys_.push_back(*wanted.key);
      wanted.type = types[below(4)];
      wanted.build_time = std::chrono::milliseconds(below(100'000));
      wanted.description = std::string(1, static_cast<char>('a' + below(3))) + " step";
      all.push_back(store.add(parent, wanted));
      store.clock.advance(std::chrono::minutes(below(600)));
      if (below(3) == 0) store.use(all[below(static_cast<unsigned>(all.size()))].id());
    }
    store.sync();
    for (const ImmutableRef& ref : all)
      if (below(8) == 0) held.push_back(ref);
  }

  Policy policy(std::int64_t live) {
    Policy policy;
    policy.order = below(2) == 0 ? PolicyOrder::cost : PolicyOrder::lru;
    if (below(3) == 0) policy.pins.push_back(filter("description~=^a"));
    const char* const filters[] = {"type==regular", "type!=source.local", "description~=^b", "type==exec.cachemount",
                                   "parents"};
    for (unsigned rules = 1 + below(3); rules > 0; --rules) {
      PolicyRule rule;
      for (unsigned n = below(3); n > 0; --n) rule.filters.push_back(filter(filters[below(5)]));
      if (below(3) == 0) rule.unused_for = std::chrono::hours(below(100));
      const auto part = [&] { return Space::bytes(static_cast<std::uint64_t>(live) * below(100) / 100); };
      if (below(2) == 0) rule.ceiling = part();
      if (below(3) == 0) rule.floor = part();
      if (below(4) == 0) rule.free = Space::percent(below(40));
      rule.all = below(2) == 0;
      policy.rules.push_back(std::move(rule));
    }
    return policy;
  }

 private:
  std::mt19937 random_;
  std::vector<KeyDigest> keys_;
};

TEST(PolicyRun, ARehearsalSaysExactlyWhatTheNextRunDeletes) {
  const test::TempDir memory(must(base::HostPath::parse("/dev/shm")));  // much is made durable here, and that is not the question
  PolicyStore store("overlay", memory.path());
  constexpr unsigned seeds = 334;  // three policies each
  std::size_t removed = 0, spared = 0;
  for (unsigned seed = 0; seed < seeds; ++seed) {
    RandomStore chance(seed);
    std::vector<ImmutableRef> held;
    chance.fill(store, held);
    for (int turn = 0; turn < 3; ++turn) {
      const Policy policy = chance.policy(store.live());
      const DiskSpace disk = PolicyStore::disk(chance.below(60'000'000));
      const PruneReport rehearsed = store.rehearse(policy, disk);
      const std::int64_t live_before = store.live();
      const PruneReport report = store.run(policy, disk);
      ASSERT_EQ(ids_of(rehearsed), ids_of(report)) << "seed " << seed << ", turn " << turn;
      ASSERT_EQ(rehearsed.freed_bytes, report.freed_bytes) << "seed " << seed;
      removed += report.records.size();
      std::int64_t floor = 0;
      for (const PolicyRule& rule : policy.rules)
        if (policy.rules.size() == 1 && rule.filters.empty()) floor = rule.effective_floor().on(disk).value_or(0);
      EXPECT_GE(store.live(), std::min(floor, live_before) - 1'000'000);  // metadata may grow meanwhile
      for (const PrunedRecord& record : report.records)
        for (const RecordFilter& pin : policy.pins) EXPECT_FALSE(pin.matches(record, InUse::no));
      store.clock.advance(std::chrono::hours(chance.below(20)));
    }
    for (const ImmutableRef& ref : held) EXPECT_TRUE(store.has(ref.id()));
    ASSERT_TRUE(must(store.cache->check()).empty()) << "seed " << seed;
    spared += must(store.cache->disk_usage()).records;
    held.clear();
    must(store.cache->prune({.all = true}));
  }
  EXPECT_GT(removed, 200u);  // else the test says little
  EXPECT_GT(spared, 200u);
}

TEST(PolicyRun, ExplainSaysOfEachRecordWhatTheNextRunDoesWithIt) {
  PolicyStore store;
  std::size_t taken = 0, stayed = 0;
  for (unsigned seed = 0; seed < 6; ++seed) {
    RandomStore chance(1000 + seed);
    std::vector<ImmutableRef> held;
    chance.fill(store, held);
    held.clear();  // what a process holds is seen by nobody else
    const Policy policy = chance.policy(store.live());
    const DiskSpace disk = PolicyStore::disk(chance.below(60'000'000));
    store.add({}, {});  // uses ride on its group
    store.sync();
    const PruneReport rehearsed = store.rehearse(policy, disk);
    std::vector<RecordId> all;
    must(store.cache->each_record(
        [&](const RecordInfo& record) -> base::Status { return all.push_back(record.id), base::Status(); }));
    for (const RecordId id : all) {
      const auto answer = must(explain_policy(*store.env, store.dir_.path(), policy, id, store.clock.now(), disk));
      const auto found = std::find_if(rehearsed.records.begin(), rehearsed.records.end(),
                                      [&](const auto& each) { return each.id == id; });
      ASSERT_EQ(answer.taken.has_value(), found != rehearsed.records.end())
          << "seed " << seed << ", record " << id.value();
      ASSERT_EQ(answer.verdicts.size(), policy.rules.size());
      const auto takes = [](const RuleVerdict& verdict) { return verdict.outcome == RuleVerdict::Outcome::taken; };
      ASSERT_EQ(std::count_if(answer.verdicts.begin(), answer.verdicts.end(), takes), answer.taken ? 1 : 0);
      if (!answer.taken) continue;
      EXPECT_EQ(answer.verdicts[found->rule].outcome, RuleVerdict::Outcome::taken);
      EXPECT_EQ(answer.place, static_cast<std::size_t>(found - rehearsed.records.begin()) + 1);
      EXPECT_EQ(answer.taken->freed_bytes, found->freed_bytes);
    }
    taken += rehearsed.records.size();
    stayed += all.size() - rehearsed.records.size();
    must(store.cache->prune({.all = true}));
  }
  EXPECT_GT(taken, 20u);
  EXPECT_GT(stayed, 20u);
}

TEST(PolicyRun, ExplainNamesTheGroundsOnWhichARecordStays) {
  using Outcome = RuleVerdict::Outcome;
  PolicyStore store;
  const RecordId parent = store.add({}, {.key = key(0)}).id();
  const RecordId child = store.add(must(store.cache->find(parent)), {.key = key(1), .build_time = 100s}).id();
  const RecordId internal = store.add({}, {.key = key(2), .type = RecordType::internal}).id();
  store.sync();
  const auto outcome = [&](const Policy& policy, RecordId id) {
    return must(explain_policy(*store.env, store.dir_.path(), policy, id, store.clock.now(), PolicyStore::disk()))
        .verdicts.at(0)
        .outcome;
  };
  PolicyRule rule;
  rule.all = true;
  EXPECT_EQ(outcome(policy_of({rule}), child), Outcome::taken);
  PolicyRule of_others = rule;
  of_others.filters = {filter("type==source.local")};
  EXPECT_EQ(outcome(policy_of({of_others}), child), Outcome::other_filter);
  PolicyRule old = rule;
  old.unused_for = 24h;
  EXPECT_EQ(outcome(policy_of({old}), child), Outcome::too_young);
  PolicyRule wide = rule;
  wide.ceiling = Space::bytes(1'000'000'000);
  EXPECT_EQ(outcome(policy_of({wide}), child), Outcome::satisfied);
  PolicyRule usual = rule;
  usual.all = false;
  EXPECT_EQ(outcome(policy_of({usual}), internal), Outcome::internal);
  Policy pinned = policy_of({rule});
  pinned.pins = {filter("id==" + std::to_string(child.value()))};
  EXPECT_EQ(outcome(pinned, child), Outcome::pinned);
  EXPECT_EQ(outcome(pinned, parent), Outcome::built_upon);
  PolicyRule high_floor = rule;
  high_floor.floor = Space::bytes(static_cast<std::uint64_t>(store.live() - 1));
  EXPECT_EQ(outcome(policy_of({high_floor}), child), Outcome::below_floor);
  const auto lease = must(store.cache->create_lease({.owner = "test", .records = {*must(store.cache->find(child))}}));
  must(store.writer->wait_durable(lease.sequence));
  EXPECT_EQ(outcome(policy_of({rule}), child), Outcome::in_use);
  EXPECT_EQ(explain_policy(*store.env, store.dir_.path(), policy_of({rule}), RecordId(999'999), store.clock.now())
                .error()
                .code,
            base::ErrorCode::not_found);
}

TEST(PolicyRun, LooksAtWhatItTakesAndNotAtTheStore) {
  PolicyStore store;
  constexpr int kept = 300, taken = 20;
  std::optional<ImmutableRef> base = store.add({}, {.key = key(0)});
  for (int i = 1; i <= kept; ++i) store.add(i % 3 == 0 ? base : std::nullopt, {.key = key(i), .build_time = 100s});
  for (int i = 1; i <= taken; ++i) store.add({}, {.bytes = 50'000, .key = key(kept + i), .build_time = 1ms});
  base.reset();
  store.sync();
  PolicyRule rule;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(store.live() - 19 * 50'000 - 20'000));
  const PruneReport report = store.rehearse(policy_of({rule}));
  EXPECT_GE(report.records.size(), 10u);
  EXPECT_LE(report.records.size(), static_cast<std::size_t>(taken));
  EXPECT_LE(report.rows_visited, 2 * report.records.size());
  // A plain prune that finds nothing looks at nothing.
  EXPECT_LE(must(store.cache->prune({.dry_run = true})).rows_visited, 8u);
}

}  // namespace
}  // namespace cairn::cache
