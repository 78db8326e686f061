// SPDX-License-Identifier: Apache-2.0
// Which of several places a thing belongs to, by weighted rendezvous hashing: every place gets a score for the thing
// from both of their names, and the highest ones win. A place that goes leaves its things to their second ones; one
// that comes takes what it now scores highest for; nothing else moves.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace cairn::cache {

struct Rendezvous {
  std::uint64_t seed = 0;  // from the name of the place
  double weight = 1;
};
Rendezvous rendezvous(std::string_view name, double weight);

// The indices of all places, best first. `digest`: 8 bytes at least, that are as good as random.
std::vector<std::size_t> ranked(std::span<const Rendezvous> places, std::string_view digest);

}  // namespace cairn::cache
