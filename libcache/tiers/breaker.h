// SPDX-License-Identifier: Apache-2.0
// Whether a tier is asked at all. After failures in a row it rests; then one call finds out whether it is well again.
#pragma once

#include <chrono>

#include "libbase/result.h"
#include "libbase/sync.h"
#include "libcache/tiers.h"

namespace cairn::cache {

// Thread-safe.
class Breaker {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit Breaker(const TiersOptions& options) : options_(options) {}

  // A call may be made; exactly one of the three below says how it went. False: it rests.
  bool begin(Time now);
  void succeeded();
  // busy: it rests at once. unavailable: as long as it ever does, for asking again changes nothing.
  void failed(Time now, base::ErrorCode code);
  void abandoned();  // nothing is known of how it went
  // One of these two, by what the error says of the tier.
  void ended(Time now, base::ErrorCode code);

  BreakerState state(Time now);
  Time rests_until();  // in the past: it does not

 private:
  struct State {
    unsigned failures = 0;  // in a row
    unsigned rests = 0;     // in a row
    Time until{};
    bool resting = false, trying = false;
  };
  const TiersOptions& options_;
  base::Guarded<State> state_;
};

}  // namespace cairn::cache
