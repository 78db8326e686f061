// SPDX-License-Identifier: Apache-2.0
// The clock of the machine.
#include "libbase/clock.h"

namespace cairn::base {

WallTime SystemClock::now() const {
  return std::chrono::time_point_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now());
}

std::chrono::steady_clock::time_point SystemClock::steady_now() const { return std::chrono::steady_clock::now(); }

}  // namespace cairn::base
