// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/rendezvous.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "libbase/hash/sha256.h"
#include "libbase/result.h"

namespace cairn::cache {

namespace {

std::uint64_t first_word(std::string_view bytes) {
  CHECK(bytes.size() >= 8, "a digest of {} bytes", bytes.size());
  std::uint64_t word = 0;
  for (std::size_t i = 0; i < 8; ++i) word |= std::uint64_t{static_cast<unsigned char>(bytes[i])} << (8 * i);
  return word;
}

// The finalizer of SplitMix64: each bit of the input changes each of the output half of the time.
std::uint64_t mixed(std::uint64_t x) {
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// weight / -ln(u), with u even in (0, 1): the chance to be the highest is the share of the weight.
double score(const Rendezvous& place, std::uint64_t word) {
  const double u = (static_cast<double>(mixed(word ^ place.seed) >> 11) + 0.5) / 9007199254740992.0;
  return place.weight / -std::log(u);
}

}  // namespace

Rendezvous rendezvous(std::string_view name, double weight) {
  const base::Sha256Bytes hash = base::sha256(name);
  return {first_word({reinterpret_cast<const char*>(hash.data()), hash.size()}), weight};
}

std::vector<std::size_t> ranked(std::span<const Rendezvous> places, std::string_view digest) {
  const std::uint64_t word = first_word(digest);
  std::vector<double> scores;
  for (const Rendezvous& place : places) scores.push_back(score(place, word));
  std::vector<std::size_t> order(places.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::sort(order.begin(), order.end(), [&](std::size_t a, std::size_t b) {
    return scores[a] != scores[b] ? scores[a] > scores[b] : places[a].seed > places[b].seed;
  });
  return order;
}

}  // namespace cairn::cache
