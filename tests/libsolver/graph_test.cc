// SPDX-License-Identifier: Apache-2.0
// Large graphs of random shape: whatever was solved once is found whole, now and after a restart.
#include <deque>
#include <random>

#include "tests/libsolver/solver_fixture.h"

namespace cairn::solver {
namespace {

using llb::State;

class RandomGraphTest : public SolverTest {
 protected:
  // `size` steps, all of which the result needs: each takes one or two trees that nobody has taken yet, and sometimes
  // stands on the root of any earlier one.
  State graph(std::size_t size, unsigned seed) {
    std::mt19937 random(seed);
    std::vector<State> made;
    std::deque<State> unused;
    const auto take = [&] {
      State state = unused.front();
      unused.pop_front();
      return state;
    };
    for (std::size_t i = 0; i < size; ++i) {
      llb::RunOptions options;
      const bool last = i + 1 == size;
      while (last ? !unused.empty() : unused.size() > 8 && options.mounts.size() < 2) {
        options.mounts.push_back(
            {.dest = "/in" + std::to_string(options.mounts.size()), .source = take(), .read_only = true});
      }
      const State root = !made.empty() && random() % 3 == 0 ? made[random() % made.size()] : State();
      made.push_back(root.run(write("file" + std::to_string(i % 7), std::to_string(i)), options).root());
      unused.push_back(made.back());
    }
    return made.back();
  }
};

TEST_F(RandomGraphTest, TwoThousandStepsAreSolvedOnce) {
  constexpr std::size_t size = 2000;
  const SolveRequest wanted = request(graph(size, 20261123));
  ASSERT_EQ(wanted.definition.vertices.size(), size);
  EXPECT_EQ(executed(wanted), size);
  EXPECT_EQ(executed(wanted), 0u);
  EXPECT_EQ(script_.runs, size);
  reopen();
  EXPECT_EQ(executed(wanted), 0u);
  EXPECT_EQ(script_.runs, size);
}

TEST_F(RandomGraphTest, ManySmallGraphsOverlap) {
  // Step i of a graph depends on the seed only by its inputs, so that graphs share steps.
  std::uint64_t steps = 0;
  for (unsigned seed = 1; seed <= 20; ++seed) {
    const SolveRequest wanted = request(graph(30, seed));
    const std::uint64_t before = script_.runs;
    const std::size_t ran = executed(wanted);
    EXPECT_EQ(script_.runs - before, ran) << "seed " << seed;
    EXPECT_EQ(executed(wanted), 0u) << "seed " << seed;
    steps += wanted.definition.vertices.size();
  }
  EXPECT_LT(script_.runs, steps) << "some steps were another graph's";
}

}  // namespace
}  // namespace cairn::solver
