// SPDX-License-Identifier: Apache-2.0
// The scrubber: reads all blobs and all trees back and compares them with their names and seals.
#pragma once

#include <chrono>
#include <cstdint>
#include <stop_token>

#include "libcache/cache.h"

namespace cairn::cache {

// No more bytes per second, on the average, than a scrub may read.
class ScrubPace {
 public:
  ScrubPace(std::uint64_t bytes_per_second, std::stop_token stop)
      : per_second_(bytes_per_second), stop_(std::move(stop)), since_(std::chrono::steady_clock::now()) {}
  // Waits until as much time has gone as what was read so far may take, or until a stop request.
  void read(std::uint64_t bytes);
  bool is_stopped() const { return stop_.stop_requested(); }
  const std::stop_token& stop() const { return stop_; }

 private:
  std::uint64_t per_second_, bytes_ = 0;
  std::stop_token stop_;
  std::chrono::steady_clock::time_point since_;
};

base::Result<ScrubReport> scrub(Store& store, const ScrubOptions& options, std::stop_token stop);

}  // namespace cairn::cache
