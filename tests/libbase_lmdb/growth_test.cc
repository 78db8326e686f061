// SPDX-License-Identifier: Apache-2.0
// A map that is too small grows between transactions: closures run again, readers keep their version.
#include <gmock/gmock.h>

#include <atomic>
#include <latch>
#include <thread>

#include "tests/libbase_lmdb/rows.h"

namespace cairn::test {
namespace {

using base::Result;
using base::Status;
using lmdb::ReadTxn;
using lmdb::WriteTxn;

constexpr std::uint64_t small_map = 1u << 20;

class LmdbGrowth : public ::testing::Test {
 protected:
  static lmdb::Env::Options small() {
    lmdb::Env::Options options;
    options.map_bytes = small_map;
    return options;
  }
  TempDir dir_;
  std::unique_ptr<lmdb::Env> env_ = open_env(dir_ / "meta", small()).value();
};

TEST_F(LmdbGrowth, ClosureRunsAgainInALargerMap) {
  ASSERT_EQ(env_->map_bytes(), small_map);
  const lmdb::TxnCounts before = env_->counts();
  int runs = 0;
  ASSERT_TRUE(env_->update([&](WriteTxn& txn) -> Status {
    ++runs;
    for (int i = 0; i < 3000; ++i) TRY(txn.put(words, "key " + std::to_string(i), std::string(980, 'v')));  // four rows a page
    return {};
  }));
  EXPECT_EQ(runs, 3);  // in 1, 2 and 4 MiB
  EXPECT_EQ(env_->map_bytes(), 4 * small_map);
  EXPECT_EQ(env_->counts().commits, before.commits + 1);
  EXPECT_EQ(env_->view([](ReadTxn& txn) { return txn.count(words); }).value(), 3000u);
}

TEST_F(LmdbGrowth, ClosureThatHidesTheFullMapIsRunAgainToo) {
  ASSERT_TRUE(env_->update([](WriteTxn& txn) -> Status {
    (void)txn.put(words, "large", std::string(2 * small_map, 'v'));
    return {};
  }));
  EXPECT_EQ(word(*env_, "large").size(), 2 * small_map);
}

TEST_F(LmdbGrowth, ReopeningWithASmallerMapTakesWhatTheFileNeeds) {
  ASSERT_TRUE(put_word(*env_, "large", std::string(3 * small_map, 'v')));
  env_.reset();
  env_ = open_env(dir_ / "meta", small()).value();
  EXPECT_GE(env_->map_bytes(), 3 * small_map);
  EXPECT_EQ(word(*env_, "large").size(), 3 * small_map);
  ASSERT_TRUE(put_word(*env_, "more", std::string(3 * small_map, 'v')));
  EXPECT_EQ(word(*env_, "more").size(), 3 * small_map);
}

TEST_F(LmdbGrowth, WaitsForAReaderWhoseBytesStayInPlace) {
  ASSERT_TRUE(put_word(*env_, "a", std::string(1000, 'o')));
  std::latch reading(1);
  std::atomic<int> filled = 0;
  std::thread reader([&] {
    const Status status = env_->view([&](ReadTxn& txn) -> Status {
      const std::string_view bytes = TRY(txn.get_raw(words, "a")).value();
      reading.count_down();
      while (filled == 0) std::this_thread::yield();  // the writer's map is full now
      for (int i = 0; i < 20; ++i) {
        std::this_thread::sleep_for(std::chrono::milliseconds(1));
        EXPECT_EQ(bytes, std::string(1000, 'o'));
        EXPECT_EQ(env_->map_bytes(), small_map);
        EXPECT_EQ(word(*env_, "a"), bytes);  // a nested view is let in, or it would wait for itself
      }
      EXPECT_EQ(filled, 1);  // not run again while this view lives
      return {};
    });
    EXPECT_TRUE(status);
  });
  reading.wait();
  ASSERT_TRUE(env_->update([&](WriteTxn& txn) -> Status {
    const Status put = txn.put(words, "a", std::string(small_map + small_map / 2, 'n'));
    ++filled;
    return put;
  }));
  reader.join();
  EXPECT_EQ(filled, 2);
  EXPECT_EQ(env_->map_bytes(), 2 * small_map);
  EXPECT_EQ(word(*env_, "a").size(), small_map + small_map / 2);
}

// Each commit sets all counters to its own number, so a reader that sees two different ones has seen two versions.
TEST_F(LmdbGrowth, ConcurrentReadersSeeOneVersionEach) {
  constexpr int rows = 200;
  constexpr std::uint64_t commits = 60;
  const auto write_all = [&](std::uint64_t number) {
    return env_->update([&](WriteTxn& txn) -> Status {
      for (int i = 0; i < rows; ++i) TRY(txn.put(counters, std::to_string(i), Counter{number}));
      return txn.put(words, "ballast " + std::to_string(number), std::string(200'000, 'b'));
    });
  };
  ASSERT_TRUE(write_all(0));
  std::atomic<bool> over = false;
  std::atomic<std::uint64_t> views = 0;
  const auto read_all = [&](ReadTxn& txn) -> Result<std::uint64_t> {
    const std::uint64_t first = TRY(txn.get(counters, "0")).value().value;
    TRY(txn.scan(counters, "", [&](const std::string&, const Counter& counter) -> Result<lmdb::Scan> {
      EXPECT_EQ(counter.value, first);
      return lmdb::Scan::next;
    }));
    return first;
  };
  std::vector<std::thread> readers;
  for (int i = 0; i < 4; ++i)
    readers.emplace_back([&] {
      while (!over) {
        const auto outer = env_->view([&](ReadTxn& txn) -> Result<std::uint64_t> {
          const std::uint64_t inner = TRY(env_->view(read_all));
          const std::uint64_t mine = TRY(read_all(txn));
          EXPECT_LE(mine, inner);
          return mine;
        });
        EXPECT_TRUE(outer);
        ++views;
      }
    });
  for (std::uint64_t number = 1; number <= commits; ++number) ASSERT_TRUE(write_all(number));
  over = true;
  for (std::thread& reader : readers) reader.join();
  EXPECT_GT(views, 0u);
  EXPECT_GE(env_->map_bytes(), 16 * small_map);
  EXPECT_EQ(env_->view(read_all).value(), commits);
}

TEST_F(LmdbGrowth, ConcurrentUpdatesAllLand) {
  std::vector<std::thread> writers;
  for (int i = 0; i < 4; ++i)
    writers.emplace_back([&, i] {
      for (int j = 0; j < 25; ++j)
        EXPECT_TRUE(env_->update([&](WriteTxn& txn) -> Status {
          const std::uint64_t sum = TRY(txn.get(counters, "sum")).value_or(Counter{}).value;
          TRY(txn.put(counters, "sum", Counter{sum + 1}));
          return txn.put(words, std::to_string(i * 100 + j), std::string(50'000, 'v'));
        }));
    });
  for (std::thread& writer : writers) writer.join();
  EXPECT_EQ(env_->view([](ReadTxn& txn) { return txn.get(counters, "sum"); }).value()->value, 100u);
  EXPECT_EQ(env_->view([](ReadTxn& txn) { return txn.count(words); }).value(), 100u);
  EXPECT_GE(env_->map_bytes(), 8 * small_map);
}

}  // namespace
}  // namespace cairn::test
