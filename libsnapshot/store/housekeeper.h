// SPDX-License-Identifier: Apache-2.0
// The work of a snapshotter that nobody waits for: erasing the trash and squashing deep chains, one thing after the other
// on one thread of the lowest priority. It never holds a lock while it works.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <stop_token>
#include <thread>
#include <unordered_set>

#include "libbase/sync.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// While it lives a thread of the lowest priority has the usual one. For what others may wait for: without it they would
// wait until every other thread of the machine has nothing to do. On any other thread it does nothing.
class InHaste {
 public:
  InHaste();
  ~InHaste();
  InHaste(const InHaste&) = delete;
  InHaste& operator=(const InHaste&) = delete;
};

// Thread-safe.
class Housekeeper {
 public:
  struct Jobs {
    std::function<void(std::stop_token)> erase;
    std::function<void(SnapshotId, std::stop_token)> squash;
  };
  ~Housekeeper() { stop(); }

  void start(Jobs jobs);       // once
  void stop();                 // the job that runs is asked to end, what is queued is forgotten; idempotent
  void erase_soon();
  void squash_soon(SnapshotId id);  // one that is queued already, or beyond 1,024 of them, is left out
  void settle();               // returns when nothing is queued or running, or it is not started

 private:
  struct State {
    bool erase = false;
    std::deque<SnapshotId> squash;
    std::unordered_set<SnapshotId> queued;
    bool running = false;
    bool started = false;
    bool idle() const { return !running && !erase && squash.empty(); }
  };
  void run(const Jobs& jobs, std::stop_token stop);

  base::Guarded<State> state_;
  std::condition_variable_any work_, idle_;
  std::jthread thread_;
};

}  // namespace cairn::snapshot
