// SPDX-License-Identifier: Apache-2.0
// What others were told is there, and may come for in a while: a client that was given an action's result reads its outputs
// later, one that was told which blobs are there does not send them. In memory only, in a fixed amount of it, whatever is
// promised: a filter that never forgets a promise too early, and in a thousandth of all cases keeps what nobody was promised.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <mutex>

namespace cairn::cache {

// Thread-safe. note() and what it is followed by under a lock is seen by whoever takes that lock after it.
class Promises {
 public:
  using Time = std::chrono::steady_clock::time_point;
  // From now on a promise holds for at least so long, and at most for half as long again. Zero, as at first: there are none.
  void set_time(std::chrono::milliseconds time);
  bool are_kept() const { return bits_.load() != nullptr; }
  void note(std::uint64_t hash, Time now = std::chrono::steady_clock::now());
  bool holds(std::uint64_t hash, Time now = std::chrono::steady_clock::now());

 private:
  static constexpr std::size_t generations = 3, bits = std::size_t{1} << 23, words = bits / 64, probes = 4;
  struct Bits {
    std::array<std::array<std::atomic<std::uint64_t>, words>, generations> of{};
  };
  void turn(Time now);

  std::atomic<std::int64_t> span_ns_{0};  // of a generation
  std::atomic<std::int64_t> until_ns_{0};  // the current one
  std::atomic<std::size_t> current_{0};
  std::atomic<Bits*> bits_{nullptr};
  std::unique_ptr<Bits> owned_;
  std::mutex turning_;
};

}  // namespace cairn::cache
