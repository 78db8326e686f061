// SPDX-License-Identifier: Apache-2.0
// Turns: work on one thing is done by one thread at a time, and whoever comes meanwhile waits for his turn and then looks
// whether it has been done. Nothing is locked while the work goes on but the turn itself.
#pragma once

#include <condition_variable>
#include <unordered_set>

#include "libbase/sync.h"

namespace cairn::cache {

// Thread-safe. Outlives what take() returned.
template <class Thing>
class Turns {
 public:
  class Turn {
   public:
    Turn(Turns& turns, Thing thing) : turns_(turns), thing_(thing) {}
    ~Turn() {
      turns_.busy_.lock()->erase(thing_);
      turns_.ends_.notify_all();
    }
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    Turns& turns_;
    Thing thing_;
  };

  Turn take(Thing thing) {
    {
      auto busy = busy_.lock();
      ends_.wait(busy.lock(), [&] { return !busy->contains(thing); });
      busy->insert(thing);
    }
    return Turn(*this, thing);
  }

 private:
  base::Guarded<std::unordered_set<Thing>> busy_;
  std::condition_variable_any ends_;
};

}  // namespace cairn::cache
