// SPDX-License-Identifier: Apache-2.0
// Where a test that draws at random begins.
#pragma once

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <random>

namespace cairn::test {

// CAIRN_TEST_SEED, else in the full form a fresh one and in the short form always the same: what lands is judged by the same
// cases each time, and new ones are looked for where somebody waits for them. Printed, so that a failure can be had again.
inline std::uint64_t test_seed() {
  std::uint64_t seed = 1;
  if (const char* wanted = std::getenv("CAIRN_TEST_SEED")) {
    seed = std::strtoull(wanted, nullptr, 10);
  } else if (std::getenv("CAIRN_TEST_FULL") != nullptr) {
    seed = std::random_device()();
  }
  std::printf("CAIRN_TEST_SEED=%llu\n", static_cast<unsigned long long>(seed));
  return seed;
}

}  // namespace cairn::test
