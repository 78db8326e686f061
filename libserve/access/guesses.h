// SPDX-License-Identifier: Apache-2.0
// How often an address may be wrong: ten times, and then once in six seconds. Only wrong ones are counted.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <unordered_map>

#include "libbase/sync.h"

namespace cairn::serve {

// Of "192.0.2.1", "[2001:db8::1]", as they are with or without a port, and of what gRPC calls a peer: what is counted
// as one. Of IPv6 that is the network of 64 bits, all of which one customer has.
std::string guesser_of(std::string_view address);

// Thread-safe; holds a bounded number of addresses.
class Guesses {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr double guesses_max = 10;
  static constexpr std::chrono::seconds back_after{6};
  static constexpr std::size_t addresses_max = 10'000;

  // One of its guesses, before it is looked at: many at a time have no more of them. False: it has none left.
  bool take(std::string_view address, Clock::time_point now = Clock::now());
  void give_back(std::string_view address);  // it was right
  std::size_t size();

 private:
  struct Left {
    double guesses = guesses_max;
    Clock::time_point at;
  };
  using Map = std::unordered_map<std::string, Left>;
  static double left(const Left& left, Clock::time_point now);
  static void make_room(Map& map, Clock::time_point now);
  base::Guarded<Map> left_;
};

}  // namespace cairn::serve
