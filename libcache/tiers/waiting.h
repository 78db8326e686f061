// SPDX-License-Identifier: Apache-2.0
// Waiting for a condition until a time of a clock that a test may have in its hand.
#pragma once

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <mutex>

#include "libbase/clock.h"

namespace cairn::cache {

// Whether the condition came true before that time. A clock that jumps is noticed within this.
inline constexpr std::chrono::milliseconds clock_is_looked_at{20};

template <class Condition>
bool wait_until(std::condition_variable_any& changed, std::unique_lock<std::mutex>& lock, const base::Clock& clock,
                std::chrono::steady_clock::time_point deadline, Condition condition) {
  while (!condition()) {
    const auto left = deadline - clock.steady_now();
    if (left <= std::chrono::nanoseconds(0)) return false;
    changed.wait_for(lock, std::min<std::chrono::nanoseconds>(left, clock_is_looked_at));
  }
  return true;
}

}  // namespace cairn::cache
