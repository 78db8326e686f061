// SPDX-License-Identifier: Apache-2.0
// Bytes that nothing repeats in, and the same for the same seed.
#pragma once

#include <cstdint>
#include <random>
#include <string>

namespace cairn::test {

inline std::string random_bytes(std::uint64_t seed, std::size_t size) {
  std::mt19937_64 random(seed);
  std::string bytes;
  while (bytes.size() < size) {
    const std::uint64_t word = random();
    bytes.append(reinterpret_cast<const char*>(&word), sizeof word);
  }
  bytes.resize(size);
  return bytes;
}

}  // namespace cairn::test
