// SPDX-License-Identifier: Apache-2.0
// Solves of random graphs, several at a time, over one key store and one set of flights, with everything that could
// happen at another time ordered by a seed. Steps are functions of numbers, so that a naive solver knows what must come
// out: whatever was merged, found, cancelled or tried again.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/hash/sha256.h"
#include "libcache/memory_key_store.h"
#include "libsolver/edge/graph.h"
#include "libsolver/schedule/flights.h"

namespace cairn::solver::sim {

// What is solved. Everything is in here, so that a failing case can be cut down piece by piece.
struct SpecNode {
  struct Input {
    std::size_t node = 0;
    std::uint32_t output = 0;
    bool content = false;   // the step sees only the content (the value modulo 3)
    bool selector = false;
  };
  int operation = 0;
  std::vector<Input> inputs;
  std::uint32_t maps = 1;
  bool ignore_cache = false;
  bool session = false;
};
struct SpecSolve {
  std::size_t target = 0;
  std::uint32_t output = 0;
  std::optional<int> cancel_after;  // events
};
struct Spec {
  std::uint64_t seed = 0;
  std::vector<SpecNode> nodes;
  std::vector<SpecSolve> solves;
  int fail_percent = 0;        // of executions
  int load_fail_percent = 0;
  bool lose_an_answer = false;  // a fault of the scheduler that the checks must see
  std::string str() const;
};
Spec random_spec(std::uint64_t seed);

// A few lines that cannot be wrong: the value of a node's output by definition.
std::uint64_t naive_value(const Spec& spec, std::size_t node, std::uint32_t output);

// Runs it all; empty, or what went wrong.
std::string run(const Spec& spec);

// A smaller case that fails, too.
Spec shrink(Spec spec);

}  // namespace cairn::solver::sim
