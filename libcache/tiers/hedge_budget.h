// SPDX-License-Identifier: Apache-2.0
// How many requests may be made beside others: a share of all, so that a slow day of one server is no storm on the
// next.
#pragma once

#include <algorithm>

#include "libbase/sync.h"

namespace cairn::cache {

// Thread-safe.
class HedgeBudget {
 public:
  HedgeBudget(double share, std::size_t at_once) : share_(share), most_(static_cast<double>(at_once)), left_(most_) {}

  // A request was made that is beside no other.
  void earn() {
    auto left = left_.lock();
    *left = std::min(*left + share_, most_);
  }
  // One may be made beside another, and counts.
  bool take() {
    auto left = left_.lock();
    if (*left < 1) return false;
    *left -= 1;
    return true;
  }

 private:
  const double share_, most_;
  base::Guarded<double> left_;
};

}  // namespace cairn::cache
