// SPDX-License-Identifier: Apache-2.0
// Entries that no tier had a moment ago. Bounded in time and number: the oldest is forgotten first.
#pragma once

#include <chrono>
#include <deque>
#include <unordered_map>

#include "libbase/sync.h"
#include "libcache/digests.h"

namespace cairn::cache {

// Thread-safe.
class Negatives {
 public:
  using Time = std::chrono::steady_clock::time_point;
  Negatives(std::chrono::milliseconds time, std::size_t max) : time_(time), max_(max) {}

  void add(const KeyDigest& key, Time now) { state_.lock()->add(key, now + time_, now, max_); }
  bool has(const KeyDigest& key, Time now) { return state_.lock()->has(key, now); }
  void forget(const KeyDigest& key) { state_.lock()->until.erase(key); }

 private:
  struct State {
    std::unordered_map<KeyDigest, Time> until;
    std::deque<std::pair<Time, KeyDigest>> in_order;

    void add(const KeyDigest& key, Time end, Time now, std::size_t max) {
      until[key] = end;
      in_order.emplace_back(end, key);
      while (!in_order.empty() && (in_order.front().first <= now || in_order.size() > max)) {
        const auto found = until.find(in_order.front().second);
        if (found != until.end() && found->second == in_order.front().first) until.erase(found);
        in_order.pop_front();
      }
    }
    bool has(const KeyDigest& key, Time now) const {
      const auto found = until.find(key);
      return found != until.end() && now < found->second;
    }
  };
  const std::chrono::milliseconds time_;
  const std::size_t max_;
  base::Guarded<State> state_;
};

}  // namespace cairn::cache
