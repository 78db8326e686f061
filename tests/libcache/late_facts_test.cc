// SPDX-License-Identifier: Apache-2.0
// Use times: a hit writes nothing, yet the next process knows of it.
#include <unistd.h>

#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

base::WallTime last_used(OpenStore& store, RecordId id) {
  base::WallTime when{};
  must(store.cache->each_record([&](const RecordInfo& info) -> base::Status {
    if (info.id == id) when = info.last_used;
    return {};
  }));
  return when;
}
base::WallTime last_used_on_disk(OpenStore& store, RecordId id) {
  base::WallTime when{};
  must(each_record(*store.env, store.root(), [&](const RecordInfo& info) -> base::Status {
    if (info.id == id) when = info.last_used;
    return {};
  }));
  return when;
}

TEST(UseTimes, AHitWritesNothingAndIsKnownAtOnce) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  const base::WallTime made = store.clock.now();
  store.clock.advance(std::chrono::hours(1));
  must(store.cache->prune({.dry_run = true}));  // nothing is queued any more
  const auto changes = store.writer->counts().changes;
  must(store.cache->find(id));
  EXPECT_EQ(store.writer->counts().changes, changes);
  EXPECT_EQ(last_used(store, id), store.clock.now());
  EXPECT_EQ(last_used_on_disk(store, id), made);
}

TEST(UseTimes, TheyRideWithTheNextPublication) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  store.clock.advance(std::chrono::hours(1));
  must(store.cache->find(id));
  store.make({}, "b");
  EXPECT_EQ(last_used_on_disk(store, id), store.clock.now());
}

TEST(UseTimes, LateFactsReachTheNextProcess) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  store.clock.advance(std::chrono::hours(1));
  must(store.cache->find(id));
  const auto syncs = base::sync_counts().total();
  store.cache->save_late_facts();
  EXPECT_EQ(base::sync_counts().total(), syncs);
  store.reopen();
  EXPECT_EQ(last_used(store, id), store.clock.now());
  store.make({}, "b");
  EXPECT_EQ(last_used_on_disk(store, id), store.clock.now());
}

std::uint64_t use_count_on_disk(OpenStore& store, RecordId id) {
  std::uint64_t count = 0;
  must(each_record(*store.env, store.root(), [&](const RecordInfo& info) -> base::Status {
    if (info.id == id) count = info.use_count;
    return {};
  }));
  return count;
}

TEST(UseTimes, UsesAreCountedOnceEachAcrossProcesses) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  for (int i = 0; i < 3; ++i) must(store.cache->find(id));
  EXPECT_EQ(use_count_on_disk(store, id), 0u);
  store.make({}, "b");
  EXPECT_EQ(use_count_on_disk(store, id), 3u);
  must(store.cache->prune({.dry_run = true}));  // every callback has run
  for (int i = 0; i < 2; ++i) must(store.cache->find(id));
  store.cache->save_late_facts();
  store.reopen();
  EXPECT_NE(::access((store.root() / "late").c_str(), F_OK), 0) << "or a crash would count them again";
  store.make({}, "c");
  store.reopen();
  store.make({}, "d");
  EXPECT_EQ(use_count_on_disk(store, id), 5u);
}

TEST(UseTimes, DamagedLateFactsAreIgnored) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  const base::WallTime made = store.clock.now();
  ASSERT_OK(base::write_file_atomic(store.root() / "late", "cairn late 1\ngarbage", base::Durable::no));
  store.reopen();
  EXPECT_EQ(last_used(store, id), made);
}

TEST(UseTimes, NothingLateLeavesNoFile) {
  OpenStore store;
  const RecordId id = store.make({}, "a").id();
  must(store.cache->find(id));
  store.cache->save_late_facts();
  EXPECT_EQ(::access((store.root() / "late").c_str(), F_OK), 0);
  store.make({}, "b");
  must(store.cache->prune({.dry_run = true}));  // every callback has run
  store.cache->save_late_facts();
  EXPECT_NE(::access((store.root() / "late").c_str(), F_OK), 0);
}

}  // namespace
}  // namespace cairn::cache
