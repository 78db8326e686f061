// SPDX-License-Identifier: Apache-2.0
#include "libbase/sync.h"

#include <condition_variable>
#include <string>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

struct Counter {
  explicit Counter(int start = 0) : value(start) {}
  void add(int amount) { value += amount; }
  int value;
};

TEST(GuardedTest, increments_are_not_lost) {
  Guarded<Counter> counter(5);
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&] {
        for (int j = 0; j < 10'000; ++j) counter.lock()->add(1);
      });
    }
  }
  EXPECT_EQ((*counter.lock()).value, 40'005);
}

TEST(GuardedTest, is_locked_while_the_access_lives) {
  Guarded<Counter> counter;
  std::jthread other;
  {
    auto held = counter.lock();
    other = std::jthread([&] { counter.lock()->add(1); });
    for (int i = 0; i < 100; ++i) {
      std::this_thread::yield();
      ASSERT_EQ(held->value, 0);
    }
  }
  other.join();
  EXPECT_EQ(counter.lock()->value, 1);
}

TEST(GuardedTest, waits_on_a_condition) {
  Guarded<Counter> counter;
  std::condition_variable changed;
  std::jthread other([&] {
    for (int i = 0; i < 10; ++i) {
      counter.lock()->add(1);
      changed.notify_one();
    }
  });
  auto held = counter.lock();
  changed.wait(held.lock(), [&] { return held->value == 10; });
  EXPECT_EQ(held->value, 10);
}

}  // namespace
}  // namespace cairn::base
