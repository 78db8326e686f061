// SPDX-License-Identifier: Apache-2.0
// Keeps a store within its policy, on a thread of its own. A publication that takes the live bytes over the ceiling wakes
// it; so does time, for ages and for space that others take. It deletes rows in small transactions and leaves the files to
// the snapshotter, so nobody waits for it. At its start and after each look it also writes a checkpoint of the journal and
// compacts packs, if either is due.
#pragma once

#include <atomic>
#include <condition_variable>
#include <stop_token>
#include <thread>

#include "libbase/sync.h"
#include "libcache/prune.h"

namespace cairn::cache {

struct Store;

// Thread-safe.
class Collector {
 public:
  explicit Collector(Store& store) : store_(store) {}
  ~Collector() { stop(); }

  void start(CollectorOptions options);  // once
  // What a publication has woken it for is done first, as far as rows go; no longer than a second.
  void stop();
  bool is_running() const { return running_.load(); }

  // Bytes have come to be live. Wakes the collector if they may be too many. Two atomic operations.
  void grown(std::int64_t bytes);
  // Somebody found no room for a write that can be done without. Makes some, soon.
  void disk_is_full();
  // Takes, at once and whatever the ceilings say, what policy and floors let go until `bytes` more are free, and waits for
  // the files. Returns what it freed; 0 if nothing may go.
  base::Result<std::int64_t> make_room(std::int64_t bytes, std::stop_token stop);
  // Returns when nothing is left to do.
  void settle();

  CollectorCounts counts() { return *counts_.lock(); }

 private:
  struct State {
    bool woken = false;
    bool full = false;
    bool working = false;
    bool stopping = false;
  };
  void run(std::stop_token stop);
  base::Status look(std::stop_token stop);
  base::Status keep_house(std::stop_token stop);
  base::Status collect(const Policy& policy, const DiskSpace& disk, std::stop_token stop, PruneReport& report);
  base::Result<DiskSpace> disk();
  void set_alarm(std::int64_t live, const DiskSpace& disk);

  Store& store_;
  CollectorOptions options_;
  std::atomic<bool> running_{false};
  std::atomic<std::int64_t> live_{0};   // about; exact after each look
  std::atomic<std::int64_t> alarm_{0};  // wake at so many live bytes
  base::Guarded<State> state_;
  std::condition_variable_any woken_, idle_;
  base::Guarded<CollectorCounts> counts_;
  std::jthread thread_;
};

}  // namespace cairn::cache
