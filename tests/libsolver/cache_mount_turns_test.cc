// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "libsolver/cache_key.h"
#include "libsolver/ops/cache_mounts.h"
#include "tests/libsolver/solver_fixture.h"

namespace cairn::solver {
namespace {

TEST(CacheMountTurns, OneAtATimeForEachLineage) {
  CacheMountTurns turns;
  const KeyDigest key = private_key("a"), other = private_key("b");
  auto first = must(turns.take(key, {}));
  must(turns.take(other, {}));  // another lineage is nobody's business
  std::atomic<int> inside{0};
  int done = 0;  // guarded by the turn; the thread sanitizer would say if it were not
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int round = 0; round < 200; ++round) {
        const auto turn = must(turns.take(key, {}));
        EXPECT_EQ(++inside, 1);
        ++done;
        --inside;
      }
    });
  }
  EXPECT_EQ(inside, 0) << "the first has not ended its turn";
  first = {};
  threads.clear();
  EXPECT_EQ(done, 800);
}

TEST(CacheMountTurns, WhoIsCancelledLeavesTheQueue) {
  CacheMountTurns turns;
  const KeyDigest key = private_key("a");
  auto first = must(turns.take(key, {}));
  std::stop_source stop;
  std::jthread waiter([&] {
    const auto turn = turns.take(key, stop.get_token());
    ASSERT_FALSE(turn);
    EXPECT_EQ(turn.error().code, base::ErrorCode::cancelled);
  });
  stop.request_stop();
  waiter.join();
  first = {};
  must(turns.take(key, {}));
}

}  // namespace
}  // namespace cairn::solver
