// SPDX-License-Identifier: Apache-2.0
#include "libbase/thread_pool.h"

#include <atomic>
#include <future>
#include <latch>
#include <memory>
#include <set>
#include <thread>

#include <gmock/gmock.h>

#include "libbase/sync.h"

namespace cairn::base {
namespace {

TEST(ThreadPoolTest, every_task_runs_once) {
  std::atomic<int> runs = 0;
  ThreadPool pool({.threads = 4});
  for (int i = 0; i < 10'000; ++i) ASSERT_TRUE(pool.submit([&](std::stop_token) { ++runs; }));
  pool.wait_idle();
  EXPECT_EQ(runs, 10'000);
  EXPECT_EQ(pool.threads(), 4u);
}

TEST(ThreadPoolTest, its_threads_run_at_the_same_time) {
  ThreadPool pool({.threads = 3});
  std::latch all_here(3);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(pool.submit([&](std::stop_token) { all_here.arrive_and_wait(); }));
  pool.wait_idle();
}

TEST(ThreadPoolTest, an_idle_pool_is_idle_at_once) {
  ThreadPool pool({.threads = 1});
  pool.wait_idle();
}

TEST(ThreadPoolTest, tasks_may_submit_tasks) {
  std::atomic<int> runs = 0;
  ThreadPool pool({.threads = 2});
  std::function<void(int)> spread = [&](int depth) {
    ++runs;
    if (depth == 0) return;
    for (int i = 0; i < 2; ++i) EXPECT_TRUE(pool.submit([&, depth](std::stop_token) { spread(depth - 1); }));
  };
  ASSERT_TRUE(pool.submit([&](std::stop_token) { spread(8); }));
  pool.wait_idle();
  EXPECT_EQ(runs, 511);
}

TEST(ThreadPoolTest, a_full_queue_is_busy) {
  std::atomic<int> runs = 0;
  std::latch started(1), release(1);
  ThreadPool pool({.threads = 1, .queue_max = 2});
  ASSERT_TRUE(pool.submit([&](std::stop_token) {
    started.count_down();
    release.wait();
  }));
  started.wait();
  for (int i = 0; i < 2; ++i) ASSERT_TRUE(pool.submit([&](std::stop_token) { ++runs; }));
  const Status refused = pool.submit([&](std::stop_token) { runs += 100; });
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  release.count_down();
  pool.wait_idle();
  EXPECT_EQ(runs, 2);
  EXPECT_TRUE(pool.submit([&](std::stop_token) { ++runs; }));
  pool.wait_idle();
  EXPECT_EQ(runs, 3);
}

TEST(ThreadPoolTest, stop_asks_the_running_and_drops_the_queued) {
  std::atomic<int> runs = 0;
  std::latch started(1);
  ThreadPool pool({.threads = 1});
  ASSERT_TRUE(pool.submit([&](std::stop_token stop) {
    std::promise<void> stopped;
    const std::stop_callback callback(stop, [&] { stopped.set_value(); });
    started.count_down();
    stopped.get_future().wait();
  }));
  started.wait();
  const auto captured = std::make_shared<int>(1);
  for (int i = 0; i < 10; ++i) ASSERT_TRUE(pool.submit([&runs, captured](std::stop_token) { ++runs; }));
  EXPECT_EQ(captured.use_count(), 11);
  pool.stop();
  EXPECT_EQ(captured.use_count(), 1) << "dropped tasks are destroyed";
  pool.wait_idle();
  EXPECT_EQ(runs, 0);
  EXPECT_EQ(pool.submit([](std::stop_token) {}).error().code, ErrorCode::cancelled);
  pool.stop();  // twice is once
}

TEST(ThreadPoolTest, idle_means_that_captured_values_are_gone) {
  ThreadPool pool({.threads = 4});
  for (int round = 0; round < 200; ++round) {
    const auto captured = std::make_shared<int>(round);
    for (int i = 0; i < 8; ++i) ASSERT_TRUE(pool.submit([captured](std::stop_token) {}));
    pool.wait_idle();
    ASSERT_EQ(captured.use_count(), 1);
  }
}

TEST(ThreadPoolTest, destruction_stops_and_joins) {
  std::atomic<bool> finished = false;
  std::latch started(1);
  {
    ThreadPool pool({.threads = 2});
    ASSERT_TRUE(pool.submit([&](std::stop_token stop) {
      started.count_down();
      while (!stop.stop_requested()) std::this_thread::yield();
      finished = true;
    }));
    started.wait();
  }
  EXPECT_TRUE(finished);
}

TEST(ThreadPoolTest, many_may_submit_wait_and_stop_at_once) {
  for (int round = 0; round < 50; ++round) {
    std::atomic<int> runs = 0, accepted = 0;
    ThreadPool pool({.threads = 2, .queue_max = 16});
    {
      std::vector<std::jthread> others;
      for (int i = 0; i < 3; ++i) {
        others.emplace_back([&] {
          for (int j = 0; j < 100; ++j) accepted += pool.submit([&](std::stop_token) { ++runs; }) ? 1 : 0;
          pool.wait_idle();
        });
      }
      if (round % 2 == 0) others.emplace_back([&] { pool.stop(); });
    }
    pool.wait_idle();
    if (round % 2 == 0) {
      EXPECT_LE(runs, accepted);
    } else {
      EXPECT_EQ(runs, accepted);
    }
  }
}

TEST(ThreadPoolDeathTest, has_a_thread) {
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  EXPECT_DEATH(ThreadPool({.threads = 0}), "a pool without threads");
}

}  // namespace
}  // namespace cairn::base
