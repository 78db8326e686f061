// SPDX-License-Identifier: Apache-2.0
// When a group begins, by a clock of the test's own.
#include "libbase/lmdb/gathering.h"

#include <gtest/gtest.h>

namespace cairn::base::lmdb {
namespace {

using std::chrono::microseconds;

const Gathering::Time start = Gathering::Time() + std::chrono::hours(1);

TEST(Gathering, TheFirstGroupAndWhoeverIsAloneDoNotWait) {
  Gathering gathering;
  EXPECT_TRUE(gathering.may_begin(1, start));
  gathering.settled(1, 0, start, start + microseconds(1000));
  EXPECT_TRUE(gathering.may_begin(1, start + microseconds(1000)));
}

TEST(Gathering, ThoseOfTheLastGroupAreWaitedForWithThoseThatWereQueued) {
  Gathering gathering;
  const auto now = start + microseconds(1000);
  gathering.settled(5, 3, start, now);
  EXPECT_FALSE(gathering.may_begin(7, now));
  EXPECT_TRUE(gathering.may_begin(8, now));
}

TEST(Gathering, NotLongerThanAFourthOfWhatTheLastOneTook) {
  Gathering gathering;
  const auto now = start + microseconds(1000);
  gathering.settled(8, 0, start, now);
  EXPECT_FALSE(gathering.may_begin(1, now + microseconds(249)));
  EXPECT_TRUE(gathering.may_begin(1, now + microseconds(250)));
  EXPECT_EQ(gathering.until(), now + microseconds(250));
}

TEST(Gathering, NorThanItsBoundOnASlowDisk) {
  Gathering gathering;
  const auto now = start + std::chrono::seconds(1);
  gathering.settled(8, 0, start, now);
  EXPECT_EQ(gathering.until(), now + Gathering::wait_max);
}

}  // namespace
}  // namespace cairn::base::lmdb
