// SPDX-License-Identifier: Apache-2.0
// base::sync_counts() against the kernel: what we report as a sync has reached the disk as a flush, and where we report
// none the disk has seen none. The disk counts the flushes it is asked for; so does the block layer.
#include "tests/e2e/power/power_store.h"
#include "tests/e2e/power/random_changes.h"
#include "tests/e2e/power/recording.h"
#include "tests/support/must.h"
#include "tests/support/temp_dir.h"

#include <gmock/gmock.h>

namespace cairn::test {
namespace {

using snapshot::Access;
using snapshot::SnapshotId;

struct Counts {
  std::uint64_t reported = 0;  // fdatasync, fsync, syncfs and durable LMDB commits
  std::uint64_t flushed = 0;   // seen by the disk
  std::uint64_t kernel = 0;    // flushes that the block layer has completed
};

class SyncCounts : public testing::TestWithParam<FileSystem> {
 protected:
  // Runs f with a store, and a function that gives what has been counted since it was called last.
  void with_store(const std::function<void(PowerStore&, const std::function<Counts()>&)>& f) {
    // Nothing commits by itself in the meantime.
    const std::string options = GetParam() == FileSystem::xfs ? "" : "commit=600";
    record(GetParam(), [&](const base::HostPath& root, FuseDisk& disk, const LoopDevice& device) {
      const auto store = must(PowerStore::open(root / "store", {}));
      must(store->snapshots().prepare(std::nullopt));  // reserves ids
      const auto now = [&] {
        return Counts{base::sync_counts().total(), disk.switches().flushes.load(), device.flushes()};
      };
      Counts last = now();
      f(*store, [&] {
        const Counts before = std::exchange(last, now());
        return Counts{last.reported - before.reported, last.flushed - before.flushed, last.kernel - before.kernel};
      });
    }, options);
  }
  static SnapshotId freeze_one(PowerStore& store, std::optional<SnapshotId> parent, std::uint64_t seed) {
    const SnapshotId id = must(store.snapshots().prepare(parent));
    change_at_random(must(store.snapshots().mount(id, Access::read_write)).fd(), seed, 10);
    must(store.snapshots().freeze(id));
    return id;
  }
};

TEST_P(SyncCounts, WhatIsNotDurableFlushesNothing) {
  with_store([](PowerStore& store, const std::function<Counts()>& count) {
    for (std::uint64_t seed = 1; seed <= 5; ++seed) {
      const SnapshotId id = freeze_one(store, std::nullopt, seed);
      must(store.snapshots().mount(id, Access::read_only));
      must(store.snapshots().abandon(freeze_one(store, id, seed + 100)));
    }
    const Counts counts = count();
    EXPECT_EQ(counts.reported, 0u);
    EXPECT_EQ(counts.flushed, 0u);
    EXPECT_EQ(counts.kernel, 0u);
  });
}

TEST_P(SyncCounts, EachReportedSyncIsAFlushOfTheDisk) {
  with_store([](PowerStore& store, const std::function<Counts()>& count) {
    std::optional<SnapshotId> parent;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) {
      const SnapshotId id = freeze_one(store, parent, seed);
      (void)count();
      must(store.writer().wait_durable(must(store.publish(id))));
      const Counts counts = count();
      EXPECT_GE(counts.reported, 2u) << "the data, and the row";
      EXPECT_GE(counts.flushed, 2u) << counts.reported << " syncs reported";
      EXPECT_LE(counts.flushed, 4 * counts.reported) << "the disk was asked for more than we report";
      EXPECT_EQ(counts.kernel, counts.flushed);
      parent = id;
    }
  });
}

// A group of 10 commits costs what one does.
TEST_P(SyncCounts, OneGroupIsOneSyncOfDataAndOneCommit) {
  with_store([](PowerStore& store, const std::function<Counts()>& count) {
    must(store.snapshots().abandon(store.snapshots().unpublished().front()));  // no other tree is being written
    std::vector<SnapshotId> ids;
    for (std::uint64_t seed = 1; seed <= 10; ++seed) ids.push_back(freeze_one(store, std::nullopt, seed));
    (void)count();
    base::lmdb::SequenceNumber last = 0;
    for (const SnapshotId id : ids) last = must(store.publish(id));
    must(store.writer().wait_durable(last));
    const Counts counts = count();
    EXPECT_EQ(counts.reported, 2u);
    EXPECT_GE(counts.flushed, 2u);
    EXPECT_LE(counts.flushed, 8u);
    EXPECT_EQ(counts.kernel, counts.flushed);
  });
}

INSTANTIATE_TEST_SUITE_P(FileSystems, SyncCounts,
                         testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         [](const auto& about) { return std::string(name_of(about.param)); });

}  // namespace
}  // namespace cairn::test
