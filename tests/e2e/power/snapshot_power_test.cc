// SPDX-License-Identifier: Apache-2.0
// Cuts the power of a disk under libsnapshot, on each file system that Cairn is used on. A recorded disk writes down
// what it is asked to write and to flush; afterwards the disk is built as it would have been had the power gone after
// the n-th request, is mounted (the file system recovers by itself), and the store is opened and compared with what had
// been acknowledged by then.
//
// The suite must be able to fail: with the rows committed before the data, or without the data sync, it does.
#include "tests/e2e/power/power_fixture.h"
#include "tests/e2e/power/snapshot_check.h"
#include "tests/e2e/power/snapshot_workload.h"

namespace cairn::test {
namespace {

using Order = base::lmdb::GroupWriter::Options::Order;

PowerScenario scenario(const WorkloadOptions& options) {
  StoreOptions sound = options.store;  // whatever is left out while working, the store is opened as it should be
  sound.order = Order::data_first;
  sound.data_sync = DataSync::real;
  return {[options](const base::HostPath& root, Reporter& reporter) {
            run_snapshot_workload(root / "store", options, reporter);
          },
          [sound](const base::HostPath& root, const Expected& expected) {
            return check_snapshots(root / "store", expected, sound);
          }};
}

class SnapshotPower : public PowerTest {};

TEST_P(SnapshotPower, WhatWasAcknowledgedSurvivesEveryCut) {
  for (std::uint64_t seed = 1; seed <= (full() ? 2 : 1); ++seed) {
    expect_sound(scenario({.store = {}, .seed = seed, .rounds = full() ? 30 : 20}), seed);
  }
}

// What the file system offers beside overlays: copies, clones, subvolumes.
TEST_P(SnapshotPower, WhatWasAcknowledgedSurvivesEveryCutWithoutOverlays) {
  const std::string driver = GetParam() == FileSystem::ext4 ? "native" : GetParam() == FileSystem::xfs ? "reflink" : "btrfs";
  expect_sound(scenario({.store = {.driver = driver}, .seed = 5, .rounds = full() ? 25 : 12}), 5);
}

TEST_P(SnapshotPower, NamesBeforeTheirDataAreCaught) {
  expect_caught(scenario({.store = {.order = Order::names_first}, .seed = 1, .rounds = 10}));
}

TEST_P(SnapshotPower, AMissingDataSyncIsCaught) {
  expect_caught(scenario({.store = {.data_sync = DataSync::left_out}, .seed = 1, .rounds = 10}));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, SnapshotPower,
                         testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         [](const auto& about) { return std::string(name_of(about.param)); });

}  // namespace
}  // namespace cairn::test
