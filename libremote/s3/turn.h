// SPDX-License-Identifier: Apache-2.0
// One at a time, where others wait for no longer than their calls may take. It is no lock: whoever has the turn may
// wait for a network.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <memory>

#include "libbase/clock.h"
#include "libbase/sync.h"
#include "libcache/remote_tier.h"

namespace cairn::remote {

// Thread-safe.
class Turn {
 public:
  struct GiveBack {
    void operator()(Turn* turn) const {
      *turn->taken_.lock() = false;
      turn->changed_.notify_all();
    }
  };
  using Held = std::unique_ptr<Turn, GiveBack>;

  // nullptr: the time of the call is over.
  Held take(const cache::TierCall& call, const base::Clock& clock) {
    auto taken = taken_.lock();
    const auto left = std::max<std::chrono::nanoseconds>(call.deadline - clock.steady_now(), {});
    if (!changed_.wait_for(taken.lock(), call.stop, left, [&] { return !*taken; })) return nullptr;
    *taken = true;
    return Held(this);
  }

 private:
  base::Guarded<bool> taken_{false};
  std::condition_variable_any changed_;
};

}  // namespace cairn::remote
