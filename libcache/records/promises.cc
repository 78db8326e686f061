// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/promises.h"

#include <algorithm>

namespace cairn::cache {
namespace {

// Numbers that follow each other have bits that do not.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
  x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
  return x ^ (x >> 31);
}

std::int64_t ns_of(Promises::Time time) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(time.time_since_epoch()).count();
}

}  // namespace

void Promises::set_time(std::chrono::milliseconds time) {
  const std::lock_guard turn(turning_);
  if (time.count() > 0 && !owned_) owned_ = std::make_unique<Bits>();
  span_ns_ = std::chrono::nanoseconds(time).count() / (generations - 1);
  bits_ = time.count() > 0 ? owned_.get() : nullptr;
}

void Promises::note(std::uint64_t hash, Time now) {
  Bits* const all = bits_.load(std::memory_order_acquire);
  if (all == nullptr) return;
  turn(now);
  auto& bits_now = all->of[current_.load(std::memory_order_acquire)];
  std::uint64_t probe = mixed(hash);
  for (std::size_t i = 0; i < probes; ++i, probe = mixed(probe + i)) {
    const std::size_t bit = probe % bits;
    bits_now[bit / 64].fetch_or(std::uint64_t{1} << (bit % 64), std::memory_order_relaxed);
  }
}

bool Promises::holds(std::uint64_t hash, Time now) {
  Bits* const all = bits_.load(std::memory_order_acquire);
  if (all == nullptr) return false;
  turn(now);
  return std::any_of(all->of.begin(), all->of.end(), [hash](const auto& generation) {
    std::uint64_t probe = mixed(hash);
    for (std::size_t i = 0; i < probes; ++i, probe = mixed(probe + i)) {
      const std::size_t bit = probe % bits;
      if ((generation[bit / 64].load(std::memory_order_relaxed) >> (bit % 64) & 1) == 0) return false;
    }
    return true;
  });
}

// The oldest generation is emptied before it becomes the current one. Whoever notes meanwhile does it in the one before.
void Promises::turn(Time now) {
  const std::int64_t at = ns_of(now);
  if (at < until_ns_.load(std::memory_order_acquire)) return;
  const std::lock_guard turn(turning_);
  const std::int64_t span = span_ns_, until = until_ns_;
  if (at < until || span == 0) return;
  const std::int64_t passed = (at - until) / span + 1;
  for (std::int64_t i = 0; i < std::min<std::int64_t>(passed, generations); ++i) {
    const std::size_t next = (current_ + 1) % generations;
    for (auto& word : owned_->of[next]) word.store(0, std::memory_order_relaxed);
    current_.store(next, std::memory_order_release);
  }
  until_ns_.store(until + passed * span, std::memory_order_release);
}

}  // namespace cairn::cache
