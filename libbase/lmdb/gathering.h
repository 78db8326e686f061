// SPDX-License-Identifier: Apache-2.0
// When a group is large enough to be worth its syncs. Those whose changes have just become durable often come back at once
// with their next ones; a group that began with the first of them would leave the others to one of their own, and half of
// all syncs would be for half of the changes.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstddef>

namespace cairn::base::lmdb {

// For as many changes as were on the way at the end of the last group, a next one waits: not longer than a fourth of what
// the last one took, nor than wait_max. Whoever is alone never waits, and nobody after that time.
class Gathering {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::microseconds wait_max{500};

  void settled(std::size_t in_group, std::size_t queued, Time begun, Time now) {
    expected_ = in_group + queued;
    until_ = now + std::min<Time::duration>((now - begun) / 4, wait_max);
  }
  bool may_begin(std::size_t queued, Time now) const { return queued >= expected_ || now >= until_; }
  std::size_t expected() const { return expected_; }
  Time until() const { return until_; }

 private:
  std::size_t expected_ = 0;
  Time until_{};
};

}  // namespace cairn::base::lmdb
