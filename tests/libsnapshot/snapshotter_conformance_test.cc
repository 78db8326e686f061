// SPDX-License-Identifier: Apache-2.0
// Runs the conformance suite on every driver that ships.
#include "tests/conformance/snapshotter_places.h"
#include "tests/conformance/snapshotter_suite.h"

namespace cairn::snapshot {
namespace {

TEST(RequiredDrivers, Ran) {
  for (const auto& [driver, why] : left_out_drivers) EXPECT_FALSE(is_required(driver)) << driver << ": " << why;
  EXPECT_FALSE(runnable_drivers.empty());
}

}  // namespace

INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterStackSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterLookSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterFieldSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterLentSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSpaceSuite, testing::ValuesIn(runnable_drivers),
                         [](const auto& about) { return about.param; });

}  // namespace cairn::snapshot

int main(int count, char** arguments) {
  cairn::snapshot::DriverPlaces places;
  places.find();
  testing::InitGoogleMock(&count, arguments);
  return RUN_ALL_TESTS();
}
