// SPDX-License-Identifier: Apache-2.0
// A clock for tests of what trusts files by their age.
#pragma once

#include <chrono>

#include "libbase/clock.h"

namespace cairn::test {

// The clock of the machine, some time ahead: then files look old enough to be trusted.
class ShiftedClock final : public base::Clock {
 public:
  explicit ShiftedClock(std::chrono::nanoseconds ahead) : ahead_(ahead) {}
  base::WallTime now() const override {
    return std::chrono::time_point_cast<base::WallTime::duration>(base::SystemClock().now() + ahead_);
  }
  std::chrono::steady_clock::time_point steady_now() const override { return base::SystemClock().steady_now(); }

 private:
  std::chrono::nanoseconds ahead_;
};

}  // namespace cairn::test
