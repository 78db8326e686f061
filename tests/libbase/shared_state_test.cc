// SPDX-License-Identifier: Apache-2.0
// What the header says is thread-safe and holds state of the process: hashing, the log level, the counts of syncs; and
// removal beside somebody who fills the tree.
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <thread>
#include <vector>

#include <gmock/gmock.h>

#include "libbase/fs/beneath.h"
#include "libbase/hash/sha256.h"
#include "libbase/log/log.h"
#include "tests/support/temp_dir.h"

namespace cairn::base {
namespace {

TEST(SharedStateTest, threads_hash_independently) {
  const std::string expected = to_hex(sha256("abc"));
  std::vector<std::jthread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int j = 0; j < 2000; ++j) ASSERT_EQ(to_hex(sha256("abc")), expected);
    });
  }
}

TEST(SharedStateTest, the_log_level_may_change_while_others_log) {
  std::vector<std::jthread> threads;
  for (int i = 0; i < 2; ++i) {
    threads.emplace_back([] {
      for (int j = 0; j < 1000; ++j) log_debug("never shown");
    });
  }
  for (int i = 0; i < 1000; ++i) set_log_level(i % 2 == 0 ? LogLevel::error : LogLevel::warning);
}

TEST(SharedStateTest, syncs_of_all_threads_are_counted) {
  const SyncCounts before = sync_counts();
  {
    std::vector<std::jthread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([] {
        for (int j = 0; j < 1000; ++j) count_lmdb_sync();
      });
    }
  }
  EXPECT_EQ(sync_counts().lmdb - before.lmdb, 4000u);
}

TEST(SharedStateTest, a_tree_that_is_being_filled_is_removed_or_busy) {
  const test::TempDir temp;
  const Fd dir = open_host_dir(temp.path()).value();
  const TreePath path = TreePath::parse("tree/a/b").value();
  ASSERT_TRUE(make_dirs_beneath(dir.get(), path, 0755));
  const Fd inner = open_beneath(dir.get(), path, O_RDONLY | O_DIRECTORY).value();
  std::jthread other([&] {
    // So many that they outlast a removal; not without end, for who fills may be faster than who empties.
    for (int i = 0; i < 5000; ++i) {
      const Fd file(::openat(inner.get(), std::to_string(i).c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0644));
      if (!file && errno == ENOENT) return;  // the directory itself is gone
      ASSERT_TRUE(file);
    }
  });
  Status removed = remove_all_beneath(dir.get(), TreePath().child("tree"));
  while (!removed) {
    ASSERT_EQ(removed.error().code, ErrorCode::busy) << removed.error().message;
    removed = remove_all_beneath(dir.get(), TreePath().child("tree"));
  }
  EXPECT_FALSE(find_stat_beneath(dir.get(), TreePath().child("tree")).value());
}

TEST(SharedStateTest, several_may_remove_and_measure_one_tree) {
  const test::TempDir temp;
  const Fd dir = open_host_dir(temp.path()).value();
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 30; ++i) {
      ASSERT_TRUE(make_dirs_beneath(dir.get(), TreePath::parse(fmt::format("tree/{}/{}/c", i % 5, i)).value(), 0755));
    }
    std::vector<std::jthread> threads;
    for (int i = 0; i < 3; ++i) {
      threads.emplace_back([&] {
        const Status removed = remove_all_beneath(dir.get(), TreePath().child("tree"));
        EXPECT_TRUE(removed) << removed.error().message;
      });
    }
    const auto size = measure_tree(dir.get());
    EXPECT_TRUE(size) << size.error().message;
    threads.clear();
    EXPECT_FALSE(find_stat_beneath(dir.get(), TreePath().child("tree")).value());
  }
}

}  // namespace
}  // namespace cairn::base
