// SPDX-License-Identifier: Apache-2.0
// The seam for time. Everything that stores or compares times takes a Clock, so that tests can stand still.
#pragma once

#include <chrono>
#include <cstdint>

namespace cairn::base {

using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::nanoseconds>;

inline std::int64_t to_unix_ns(WallTime time) { return time.time_since_epoch().count(); }
inline WallTime from_unix_ns(std::int64_t ns) { return WallTime(std::chrono::nanoseconds(ns)); }

// Thread-safe.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual WallTime now() const = 0;
  virtual std::chrono::steady_clock::time_point steady_now() const = 0;
};

class SystemClock final : public Clock {
 public:
  WallTime now() const override;
  std::chrono::steady_clock::time_point steady_now() const override;
};

}  // namespace cairn::base
