// SPDX-License-Identifier: Apache-2.0
#include "libbase/clock.h"

#include <ctime>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

std::int64_t ns_of(clockid_t clock) {
  ::timespec time;
  ::clock_gettime(clock, &time);
  return time.tv_sec * std::int64_t{1'000'000'000} + time.tv_nsec;
}

TEST(ClockTest, wall_time_is_the_time_of_the_machine) {
  const SystemClock clock;
  const std::int64_t before = ns_of(CLOCK_REALTIME);
  const WallTime now = clock.now();
  EXPECT_GE(to_unix_ns(now), before);
  EXPECT_LE(to_unix_ns(now), ns_of(CLOCK_REALTIME));
}

TEST(ClockTest, steady_time_does_not_go_back) {
  const SystemClock clock;
  const std::int64_t before = ns_of(CLOCK_MONOTONIC);
  const auto first = clock.steady_now();
  EXPECT_GE(first.time_since_epoch().count(), before);
  EXPECT_GE(clock.steady_now(), first);
}

TEST(ClockTest, nanoseconds_go_there_and_back) {
  for (const std::int64_t ns : {std::int64_t{0}, std::int64_t{-1}, std::int64_t{1'700'000'000'123'456'789}}) {
    EXPECT_EQ(to_unix_ns(from_unix_ns(ns)), ns);
  }
}

}  // namespace
}  // namespace cairn::base
