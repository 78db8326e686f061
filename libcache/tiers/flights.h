// SPDX-License-Identifier: Apache-2.0
// Many who wait for one thing, each until its own time. One of them begins; the thing goes on when all of them have
// been told that it is late.
#pragma once

#include <chrono>
#include <condition_variable>
#include <thread>
#include <unordered_map>
#include <vector>

#include "libbase/clock.h"
#include "libbase/sync.h"
#include "libcache/digests.h"
#include "libcache/tiers.h"

namespace cairn::cache {

// Thread-safe. Nobody is told anything under its lock.
class Flights {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit Flights(const base::Clock& clock);
  ~Flights();  // tells everybody who waits that it is late

  // True: nothing of this name is on its way, and the caller begins it, and lands it once.
  bool join(const KeyDigest& key, std::chrono::nanoseconds at_most, Tiers::Answered then);
  // Nobody is to wait for it longer than this.
  void limit(const KeyDigest& key, std::chrono::nanoseconds at_most);
  void land(const KeyDigest& key, TierAnswer answer);

 private:
  struct Waiter {
    Time began, deadline;
    Tiers::Answered then;
  };
  struct Flight {
    std::chrono::nanoseconds at_most = std::chrono::hours(24);
    std::vector<Waiter> waiters;
  };
  struct State {
    std::unordered_map<KeyDigest, Flight> flights;
    // Whose time is over; `next` becomes the earliest time of the others, if there are any.
    std::vector<Tiers::Answered> take_late(Time now, std::optional<Time>& next);
  };
  void watch(const std::stop_token& stop);

  const base::Clock& clock_;
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
  std::jthread watch_;
};

}  // namespace cairn::cache
