// SPDX-License-Identifier: Apache-2.0
// Waiting for a while that somebody may end.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <stop_token>

namespace cairn::base {

// Returns after so long, or when a stop is requested. False: one was.
inline bool pause_for(std::chrono::nanoseconds length, const std::stop_token& stop) {
  std::mutex mutex;
  std::condition_variable_any wake;
  std::unique_lock lock(mutex);
  wake.wait_for(lock, stop, length, [] { return false; });
  return !stop.stop_requested();
}

}  // namespace cairn::base
