// SPDX-License-Identifier: Apache-2.0
// Runs the conformance suite on every driver that ships.
#include "tests/conformance/snapshotter_suite.h"

namespace cairn::snapshot {

INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite, testing::Values("overlay", "native"),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterStackSuite, testing::Values("overlay", "native"),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterLookSuite, testing::Values("overlay", "native"),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterFieldSuite, testing::Values("overlay", "native"),
                         [](const auto& about) { return about.param; });

}  // namespace cairn::snapshot
