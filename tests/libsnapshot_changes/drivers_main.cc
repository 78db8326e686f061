// SPDX-License-Identifier: Apache-2.0
// Runs what is here on every driver that ships.
#include "tests/conformance/snapshotter_places.h"

namespace cairn::snapshot {
namespace {

TEST(RequiredDriversOfDiffs, Ran) {
  for (const auto& [driver, why] : left_out_drivers) EXPECT_FALSE(is_required(driver)) << driver << ": " << why;
  EXPECT_FALSE(runnable_drivers.empty());
}

}  // namespace
}  // namespace cairn::snapshot

int main(int count, char** arguments) {
  cairn::snapshot::DriverPlaces places;
  places.find();
  testing::InitGoogleMock(&count, arguments);
  return RUN_ALL_TESTS();
}
