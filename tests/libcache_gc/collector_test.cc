// SPDX-License-Identifier: Apache-2.0
// The collector: what wakes it, how far it goes, and that nobody loses what he holds while it works.
#include <thread>

#include "libbase/fs/host_tree.h"
#include "tests/libcache_gc/policy_fixture.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

CollectorOptions options(Policy policy, DiskSpace disk = PolicyStore::disk()) {
  CollectorOptions options;
  options.policy = std::move(policy);
  options.measure_disk = [disk] { return base::Result<DiskSpace>(disk); };
  options.look_interval = std::chrono::hours(1);  // only what is under test wakes it
  return options;
}

TEST(Collector, APublicationThatCrossesTheCeilingWakesItAndNoOtherDoes) {
  PolicyStore store;
  store.add({}, {.key = key(0)});
  store.sync();
  PolicyRule rule;
  const std::int64_t ceiling = store.live() + 1'000'000;
  rule.ceiling = Space::bytes(static_cast<std::uint64_t>(ceiling));
  store.cache->start_collector(options(policy_of({rule})));
  for (int i = 1; i <= 5; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  store.sync();
  store.cache->settle_collector();
  EXPECT_EQ(store.cache->counts().collector.looks, 0u);
  for (int i = 6; i <= 40; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  store.sync();
  store.cache->settle_collector();
  const CollectorCounts counts = store.cache->counts().collector;
  EXPECT_GE(counts.looks, 1u);
  EXPECT_GE(counts.records, 30u);
  EXPECT_LE(store.live(), ceiling + 200'000);  // metadata grew beside it
  EXPECT_TRUE(must(store.cache->check()).empty());
}

TEST(Collector, WritesTheCheckpointThatIsDueAndGivesDeadPacksBack) {
  PolicyStore store;
  // Blobs that a record's death leaves behind, and a journal that says the same rows again and again.
  const auto put = [&](int i) { return must(store.cache->blobs().put(std::string(60'000, 'b') + std::to_string(i))); };
  for (int i = 0; i < 400; ++i) put(i);
  store.add({}, {});
  store.sync();
  store.reopen();  // whoever put them is gone
  const ImmutableRef ref = store.add({}, {.description = std::string(3'000, 'd')});
  store.sync();
  for (int i = 0; i < 6'000; ++i) store.last = must(store.cache->change_record(ref, {.owner = Owner{.step = std::to_string(i)}}));
  store.sync();
  must(store.cache->prune({.all = true}));  // what no record names goes
  ASSERT_GT(must(store.cache->disk_usage()).pack_reclaimable_bytes, 20 << 20);
  store.cache->start_collector(options({}));
  store.cache->settle_collector();
  const CollectorCounts counts = store.cache->counts().collector;
  EXPECT_EQ(counts.checkpoints, 1u);
  EXPECT_EQ(counts.compactions, 1u);
  store.clock.advance(2s);
  EXPECT_LT(must(store.cache->disk_usage()).pack_reclaimable_bytes, 16 << 20);
  EXPECT_TRUE(must(store.cache->check()).empty());
}

TEST(Collector, WhatIsHeldStaysAndGoesWhenItIsLetGo) {
  PolicyStore store;
  PolicyRule rule;
  rule.ceiling = Space::bytes(1);
  rule.all = true;
  store.cache->start_collector(options(policy_of({rule})));
  std::vector<ImmutableRef> held;
  for (int i = 0; i < 10; ++i) held.push_back(store.add({}, {.bytes = 300'000, .key = key(i)}));
  store.sync();
  store.cache->settle_collector();
  for (const ImmutableRef& ref : held) EXPECT_TRUE(store.has(ref.id()));
  held.clear();
  store.add({}, {.bytes = 4'000'000, .key = key(99)});
  store.sync();
  store.cache->settle_collector();
  EXPECT_LE(must(store.cache->disk_usage()).records, 1u);
}

// What was collected is not live from its transaction on, and a line of its own until its files are gone.
TEST(Collector, WhatItHasTakenIsBeingFreedUntilItsFilesAreGone) {
  PolicyStore store;  // whose snapshotter erases nothing in the background
  for (int i = 0; i < 10; ++i) store.add({}, {.bytes = 300'000, .key = key(i)});
  store.sync();
  const DiskUsage before = must(store.cache->disk_usage());
  PolicyRule rule;
  rule.ceiling = Space::bytes(1);
  rule.all = true;
  store.cache->start_collector(options(policy_of({rule})));
  store.add({}, {.bytes = 4'000'000, .key = key(99)});
  store.sync();
  store.cache->settle_collector();
  store.clock.advance(2s);
  const DiskUsage after = must(store.cache->disk_usage());
  EXPECT_EQ(after.records, 0u);
  EXPECT_EQ(after.tree_bytes, 0);
  EXPECT_GE(after.trash_bytes, before.tree_bytes + 4'000'000);
  EXPECT_LT(after.live_bytes(), before.live_bytes());
  EXPECT_GE(must(store.snapshots->erase_trash(*store.writer, {})), before.tree_bytes + 4'000'000);
  EXPECT_EQ(must(store.cache->disk_usage()).trash_bytes, 0);
}

TEST(Collector, StoppingItDoesFirstWhatAPublicationWokeItFor) {
  PolicyStore store;
  PolicyRule rule;
  rule.ceiling = Space::bytes(1);
  store.cache->start_collector(options(policy_of({rule})));
  for (int i = 0; i < 20; ++i) store.add({}, {.bytes = 200'000, .key = key(i)});
  store.sync();
  store.clock.advance(1s);
  while (store.cache->counts().collector.looks == 0) std::this_thread::yield();
  store.cache->stop_collector();
  EXPECT_LE(must(store.cache->disk_usage()).records, 1u);
}

TEST(Collector, MakesRoomForWhoFoundTheDiskFullButNotBelowTheFloor) {
  PolicyStore store;
  for (int i = 0; i < 20; ++i) store.add({}, {.bytes = 100'000, .key = key(i)});
  store.sync();
  PolicyRule rule;
  rule.floor = Space::bytes(static_cast<std::uint64_t>(store.live() - 1'000'000));
  rule.ceiling = Space::percent(100);
  store.cache->start_collector(options(policy_of({rule}), PolicyStore::disk(0)));
  EXPECT_GE(must(store.cache->make_room(250'000)), 250'000);
  EXPECT_GE(must(store.cache->disk_usage()).records, 16u);
  must(store.cache->make_room(50'000'000));
  EXPECT_GE(must(store.cache->disk_usage()).records, 9u);
  EXPECT_EQ(store.cache->counts().collector.emergencies, 2u);
  EXPECT_EQ(must(store.cache->disk_usage()).trash_bytes, 0);
}

// A step that has found the disk full is tried again with the room that its first try had taken.
TEST(Collector, MakingRoomGivesBackAtOnceWhatAbandonedTreesTook) {
  PolicyStore store;
  store.snapshots->start(*store.writer);
  store.cache->start_collector(options(policy_of({PolicyRule{.ceiling = Space::percent(100)}}), PolicyStore::disk(0)));
  const auto trees = must(base::list_host_dir(store.root() / "trees"));
  std::vector<MutableRef> tries;
  for (int i = 0; i < 60; ++i) {
    const MutableRef& tree = tries.emplace_back(must(store.cache->create({})));
    const auto mounted = must(tree.mount(snapshot::Access::read_write));
    for (int file = 0; file < 20; ++file)
      must(base::open_beneath(mounted.fd(), must(base::TreePath::parse(std::to_string(file))), O_CREAT | O_WRONLY, 0644));
  }
  tries.clear();
  must(store.cache->make_room(1));
  EXPECT_EQ(must(base::list_host_dir(store.root() / "trees")), trees);
  store.cache->stop_collector();
  store.snapshots->stop();
}

TEST(Collector, LookupsAndCommitsGoOnWhileItWorks) {
  PolicyStore store;
  PolicyRule rule;
  rule.ceiling = Space::bytes(1);
  store.cache->start_collector(options(policy_of({rule})));
  std::atomic<bool> done{false};
  std::atomic<std::uint64_t> hits{0};
  std::vector<std::jthread> readers;
  for (int t = 0; t < 3; ++t)
    readers.emplace_back([&, t] {
      for (int i = t; !done; ++i) {
        for (const RecordId id : store.results(key(i % 60))) {
          const auto ref = must(store.cache->find(id));
          if (!ref) continue;
          ++hits;
          must(ref->mount());  // what was hit is there
        }
      }
    });
  for (int i = 0; i < 60; ++i) {
    store.add({}, {.bytes = 50'000, .key = key(i)});
    if (i % 10 == 9) store.sync();
  }
  store.cache->settle_collector();
  done = true;
  readers.clear();
  EXPECT_TRUE(must(store.cache->check()).empty());
  EXPECT_GT(store.cache->counts().collector.records, 0u);
}

}  // namespace
}  // namespace cairn::cache
