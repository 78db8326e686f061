// SPDX-License-Identifier: Apache-2.0
// Reads the store back in the background, slowly, a while after its owner began, on a thread of its own: whoever owns a store for a
// moment only reads nothing. When all of it was read, it rests. A scrub that somebody asked for goes on beside it.
#pragma once

#include <condition_variable>
#include <functional>
#include <stop_token>
#include <thread>

#include "libbase/sync.h"
#include "libcache/cache.h"

namespace cairn::cache {

struct Store;

// Thread-safe.
class Scrubber {
 public:
  using Scrub = std::function<base::Result<ScrubReport>(const ScrubOptions&, std::stop_token)>;

  explicit Scrubber(Store& store) : store_(store) {}
  ~Scrubber() { stop(); }

  void start(const BackgroundScrub& options, Scrub scrub);  // once; nothing if its rate is 0
  void stop();                                              // keeps the place
  // Returns when it rests, or does not run.
  void settle();

 private:
  struct State {
    bool resting = false;
  };
  void run(const std::stop_token& stop);
  // How long until the next one is due; 0: now.
  base::Result<std::chrono::nanoseconds> rest();
  void wait(std::chrono::nanoseconds time, const std::stop_token& stop);

  Store& store_;
  BackgroundScrub options_;
  Scrub scrub_;
  base::Guarded<State> state_;
  std::condition_variable_any woken_, settled_;
  std::jthread thread_;
};

}  // namespace cairn::cache
