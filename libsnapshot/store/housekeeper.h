// SPDX-License-Identifier: Apache-2.0
// The work of a snapshotter that nobody waits for: erasing what is gone and squashing deep chains, one thing after the
// other on one thread of the lowest priority. A squash whose chain is in use is put off and tried again later, less and
// less often. It never holds a lock while it works.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <condition_variable>
#include <deque>
#include <functional>
#include <optional>
#include <stop_token>
#include <thread>
#include <unordered_set>
#include <vector>

#include "libbase/sync.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

class Housekeeper;

// While it lives the thread of a Housekeeper, on which it is made, has the usual priority. For what others may wait for:
// without it they would wait until every other thread of the machine has nothing to do. On any other thread it does nothing.
class InHaste {
 public:
  InHaste();
  ~InHaste();
  InHaste(const InHaste&) = delete;
  InHaste& operator=(const InHaste&) = delete;

 private:
  Housekeeper* housekeeper_;
};

// What came of a squash. used_lately: somebody unmounted the chain a moment ago and may come back. mounted: its files
// cannot be linked to as long as that lasts.
enum class Squashed { done, used_lately, mounted };
// Whether a squash may cost a copy of the files by now.
enum class Patience { left, gone };

// Thread-safe.
class Housekeeper {
 public:
  struct Jobs {
    std::function<void(std::stop_token)> erase;
    std::function<std::vector<SnapshotId>(std::size_t count_max)> find_deep;
    std::function<Squashed(SnapshotId, Patience, std::stop_token)> squash;
  };
  struct Times {
    std::chrono::milliseconds quiet;     // so long nothing is squashed after a start, or after a use
    std::chrono::milliseconds patience;  // so long a squash is put off
  };
  ~Housekeeper() { stop(); }

  void start(Jobs jobs, Times times);  // once
  bool is_running();
  void stop();                 // the job that runs is asked to end, what is queued is forgotten; idempotent
  void erase_soon();
  void squash_soon(SnapshotId id);  // one that is queued already is left out; beyond 1,024 they are looked for later
  // While one of these lives the thread has the usual priority: somebody waits for it, and on a busy machine one of the
  // lowest comes to nothing.
  class Hurry {
   public:
    explicit Hurry(Housekeeper& housekeeper) : housekeeper_(housekeeper) { housekeeper_.hurry(1); }
    ~Hurry() { housekeeper_.hurry(-1); }
    Hurry(const Hurry&) = delete;
    Hurry& operator=(const Hurry&) = delete;

   private:
    Housekeeper& housekeeper_;
  };
  // Returns, in a hurry, when nothing is left to do but squashes of what is mounted, or it is not running.
  void settle();

 private:
  using Clock = std::chrono::steady_clock;
  struct Squash {
    SnapshotId id;
    Clock::time_point since, not_before;
    Clock::duration delay;
    bool mounted = false;  // when it was tried last
  };
  struct State {
    bool erase = false;
    std::optional<Clock::time_point> look_at;  // for deep chains
    std::deque<Squash> squashes;
    std::unordered_set<SnapshotId> queued;
    bool running = false, started = false, stopped = false;
    pid_t thread = 0;  // while it lives
    int hurries = 0;

    bool idle() const;
    std::optional<Clock::time_point> next_time() const;  // when something is to be done, if nothing comes
  };
  enum class Job { none, erase, look, squash };
  Job next(const std::stop_token& stop, Squash& squash);
  void put_off(Squash squash, Squashed outcome);
  void run(const Jobs& jobs, std::stop_token stop);
  friend class InHaste;
  void hurry(int change);

  base::Guarded<State> state_;
  Times times_{};
  std::condition_variable_any work_, idle_;
  std::jthread thread_;
};

}  // namespace cairn::snapshot
