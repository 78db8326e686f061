// SPDX-License-Identifier: Apache-2.0
// Cuts the power of a disk under a whole engine (see snapshot_power_test.cc): every key leads to a complete record or
// nowhere, and check() finds nothing.
#include "tests/e2e/power/cache_scenario.h"

namespace cairn::test {
namespace {

using Order = base::lmdb::GroupWriter::Options::Order;

PowerScenario scenario(const CacheWorkloadOptions& options) {
  return {[options](const base::HostPath& root, Reporter& reporter) {
            run_cache_workload(root / "store", options, reporter);
          },
          [](const base::HostPath& root, const Expected& expected) { return check_cache(root / "store", expected); }};
}

class CachePower : public PowerTest {};

TEST_P(CachePower, WhatWasAcknowledgedSurvivesEveryCut) {
  for (std::uint64_t seed = 1; seed <= (full() ? 2 : 1); ++seed) {
    expect_sound(scenario({.seed = seed, .rounds = full() ? 25 : 15}), seed);
  }
}

TEST_P(CachePower, NamesBeforeTheirDataAreCaught) {
  expect_caught(scenario({.order = Order::names_first, .seed = 1, .rounds = 10}));
}

INSTANTIATE_TEST_SUITE_P(FileSystems, CachePower,
                         testing::Values(FileSystem::ext4, FileSystem::xfs, FileSystem::btrfs),
                         [](const auto& about) { return std::string(name_of(about.param)); });

}  // namespace
}  // namespace cairn::test
