// SPDX-License-Identifier: Apache-2.0
// 100,000 random graphs, each from a seed. A failure prints its seed and the smallest case that still fails.
#include <cstdlib>

#include <gtest/gtest.h>

#include "tests/libsolver_edge/sim_world.h"

namespace cairn::solver::sim {
namespace {

std::uint64_t graphs() {
  if (const char* full = std::getenv("CAIRN_TEST_FULL"); full != nullptr && std::string_view(full) == "1") return 1'000'000;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  return 5'000;
#else
  return 100'000;
#endif
}

TEST(Simulation, every_solve_ends_with_the_naive_result_and_nothing_held) {
  for (std::uint64_t seed = 1; seed <= graphs(); ++seed) {
    const Spec spec = random_spec(seed);
    const std::string problem = run(spec);
    if (problem.empty()) continue;
    const Spec small = shrink(spec);
    FAIL() << problem << "\ncut down: " << run(small) << "\n" << small.str();
  }
}

// The same seed is the same history.
TEST(Simulation, a_seed_decides_everything) {
  Spec spec = random_spec(11);
  spec.lose_an_answer = true;
  EXPECT_EQ(run(spec), run(spec));
}

// The checks see what they are there for.
TEST(Simulation, a_lost_wake_up_is_noticed_and_cut_down) {
  int noticed = 0;
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Spec spec = random_spec(seed);
    spec.lose_an_answer = true;
    for (SpecSolve& solve : spec.solves) solve.cancel_after.reset();
    if (run(spec).empty()) continue;
    ++noticed;
    const Spec small = shrink(spec);
    EXPECT_FALSE(run(small).empty());
    EXPECT_LE(small.nodes.size(), spec.nodes.size());
    EXPECT_LE(small.solves.size(), spec.solves.size());
  }
  EXPECT_GT(noticed, 10);
}

}  // namespace
}  // namespace cairn::solver::sim
