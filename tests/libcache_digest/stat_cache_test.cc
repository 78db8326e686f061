// SPDX-License-Identifier: Apache-2.0
// What the stat cache saves, what it must never miss, and what it must not believe.
#include "libcache/stat_cache.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>
#include <thread>

#include "libbase/fs/host_tree.h"
#include "libcache/directory_stats.h"
#include "libcache/trees/stat_rows.h"
#include "tests/libcache/store_fixture.h"
#include "tests/libcache_digest/random_edits.h"
#include "tests/libcache_digest/tree_maker.h"
#include "tests/support/shifted_clock.h"
#include "tests/support/test_seed.h"

namespace cairn::cache {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ShiftedClock;

class StatCacheTest : public ::testing::Test {
 protected:
  StatCacheTest() {
    env = must(base::lmdb::Env::open(dir_ / "meta", tables(), {}));
    writer_ = std::make_unique<base::lmdb::GroupWriter>(
        *env, [](std::span<const base::lmdb::DataToken>) -> base::Status { return {}; },
        base::lmdb::GroupWriter::Options{});
  }

  // As a process that starts now, digests, and ends.
  std::string digest(const base::HostPath& top, const Selection& selection = plain("/")) {
    counts = {};
    std::string text;
    {
      StatCache stats(*env, writer_.get(), clock);
      text = shown(digest_directory(top, selection, &counts, {}, &stats));
      written = stats.written();
    }
    settle();
    return text;
  }
  void settle() {
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [](base::lmdb::WriteTxn&) -> base::Status { return {}; };
    must(writer_->wait_durable(must(writer_->enqueue(std::move(entry)))));
  }
  std::vector<std::pair<StatKey, StatRow>> rows() {
    std::vector<std::pair<StatKey, StatRow>> all;
    must(env->view([&](base::lmdb::ReadTxn& txn) {
      return txn.scan(table::stats, "", [&](const StatKey& key, const StatRow& row) -> base::Result<base::lmdb::Scan> {
        all.emplace_back(key, row);
        return base::lmdb::Scan::next;
      });
    }));
    return all;
  }

  test::TempDir dir_;
  std::unique_ptr<base::lmdb::Env> env;
  std::unique_ptr<base::lmdb::GroupWriter> writer_;
  ShiftedClock clock{seconds(10)};
  DigestCounts counts;
  std::uint64_t written = 0;
};

const std::vector<std::string> some_tree = {"a dir", "a/one file 12345", "a/two file 123", "a/link symlink one",
                                            "b dir", "b/c dir",          "b/c/f file x",   "top file top"};

TEST_F(StatCacheTest, WhereNothingHasChangedNoFileIsOpened) {
  const TestTree tree(some_tree);
  const std::string first = digest(tree.top());
  EXPECT_EQ(first, shown(tree.digest(plain("/"))));
  EXPECT_EQ(counts.files_opened, 4u);
  EXPECT_EQ(counts.remembered, 0u);
  EXPECT_EQ(written, 4u);
  EXPECT_EQ(digest(tree.top()), first);
  EXPECT_EQ(counts.files_opened, 0u);
  EXPECT_EQ(counts.bytes_read, 0u);
  EXPECT_EQ(counts.remembered, 9u) << "five names that are no directory, and four headers";
  EXPECT_EQ(written, 0u);
}

TEST_F(StatCacheTest, FiltersLookIntoItAndAddToIt) {
  const TestTree tree(some_tree);
  const Selection without = excluding("/", {"a"});
  const std::string first = digest(tree.top(), without);
  EXPECT_EQ(counts.files_opened, 2u);
  EXPECT_EQ(digest(tree.top(), without), first);
  EXPECT_EQ(counts.files_opened, 0u);
  EXPECT_EQ(digest(tree.top()), shown(tree.digest(plain("/"))));
  EXPECT_EQ(counts.files_opened, 2u) << "what the filter has read is known";
  EXPECT_EQ(digest(tree.top(), without), first);
  EXPECT_EQ(counts.files_opened, 0u);
}

TEST_F(StatCacheTest, ChangesAreSeen) {
  TestTree tree(some_tree);
  const std::string file = tree.path("a/one");
  struct ::stat before {};
  ASSERT_EQ(::lstat(file.c_str(), &before), 0);
  const std::vector<std::pair<std::string, std::function<void()>>> changes = {
      {"other bytes, same size and mtime", [&] { apply_edit({EditKind::write_back, "a/one", "", 7}, tree.top().str()); }},
      {"mode", [&] { ASSERT_EQ(::chmod(file.c_str(), 0600), 0); }},
      {"mode of a directory", [&] { ASSERT_EQ(::chmod(tree.path("b").c_str(), 0700), 0); }},
      {"owner", [&] { ASSERT_EQ(::chown(file.c_str(), 1, 1), 0); }},
      {"attribute", [&] { ASSERT_EQ(::setxattr(file.c_str(), "user.x", "y", 1, 0), 0); }},
      {"another file under the name", [&] {
         tree.add("new file 54321");
         const timespec times[2] = {{0, UTIME_OMIT}, before.st_mtim};
         ASSERT_EQ(::utimensat(AT_FDCWD, tree.path("new").c_str(), times, 0), 0);
         ASSERT_EQ(::rename(tree.path("new").c_str(), file.c_str()), 0);
       }},
      {"a file less", [&] { ASSERT_EQ(::unlink(tree.path("a/two").c_str()), 0); }},
      {"a file more", [&] { tree.add("a/three file 3"); }},
      {"the link", [&] { apply_edit({EditKind::symlink, "a/link", "elsewhere", 0}, tree.top().str()); }},
  };
  std::string last = digest(tree.top());
  for (const auto& [what, change] : changes) {
    // Past the tick of the clock in which the last digest was taken: for younger files there is another rule.
    std::this_thread::sleep_for(milliseconds(10));
    change();
    const std::string now = digest(tree.top());
    EXPECT_NE(now, last) << what;
    EXPECT_EQ(now, shown(tree.digest(plain("/")))) << what;
    EXPECT_LE(counts.files_opened, 1u) << what;
    last = now;
  }
}

TEST_F(StatCacheTest, WhatIsYoungerThanTwoSecondsIsReadAgain) {
  const TestTree tree(some_tree);
  clock = ShiftedClock(seconds(0));
  for (int i = 0; i < 2; ++i) {
    digest(tree.top());
    EXPECT_EQ(counts.files_opened, 4u);
    EXPECT_EQ(written, 0u);
  }
}

TEST_F(StatCacheTest, WhatIsGoneIsForgotten) {
  const TestTree tree(some_tree);
  digest(tree.top());
  ASSERT_EQ(::unlink(tree.path("a/one").c_str()), 0);
  digest(tree.top());
  for (const auto& [key, row] : rows())
    for (const StatEntry& entry : row.entries) EXPECT_NE(entry.name, "one");
}

TEST_F(StatCacheTest, WideDirectoriesAreManyRows) {
  TestTree tree({});
  for (int i = 0; i < 600; ++i) tree.add(std::to_string(i) + " file " + std::to_string(i));
  const std::string first = digest(tree.top());
  EXPECT_EQ(rows().size(), 3u);
  EXPECT_EQ(digest(tree.top()), first);
  EXPECT_EQ(counts.files_opened, 0u);
  ASSERT_EQ(::unlink(tree.path("7").c_str()), 0);
  EXPECT_EQ(digest(tree.top()), shown(tree.digest(plain("/"))));
  EXPECT_EQ(counts.files_opened, 0u);
}

TEST_F(StatCacheTest, FileSystemsDoNotShareRows) {
  const TestTree tree({"f file x"});
  const base::HostPath other = must(base::HostPath::parse("/dev/shm"));
  const base::TemporaryDir in_memory = must(base::TemporaryDir::create(other, "cairn-test-"));
  apply_edit({EditKind::write, "f", "", 1}, in_memory.path().str());
  digest(tree.top());
  digest(in_memory.path());
  std::set<std::uint64_t> ids;
  for (const auto& [key, row] : rows()) ids.insert(key.file_system);
  EXPECT_EQ(ids.size(), 2u);
}

TEST_F(StatCacheTest, OverlaysAreNeverBelieved) {
  OpenStore store("overlay");
  const ImmutableRef below = store.make({}, "f"), above = store.make(below, "g");
  const auto mount = must(above.mount());
  const base::HostPath top = must(base::HostPath::parse("/proc/self/fd/" + std::to_string(mount.fd())));
  for (int i = 0; i < 2; ++i) {
    digest(top);
    EXPECT_EQ(counts.files_opened, 2u);
    EXPECT_EQ(counts.remembered, 0u);
  }
  EXPECT_TRUE(rows().empty());
}

TEST_F(StatCacheTest, DamagedRowsAreNotBelieved) {
  const TestTree tree(some_tree);
  const std::string first = digest(tree.top());
  must(env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    std::vector<std::string> keys;
    TRY(txn.scan_raw(table::stats, "", "", [&](std::string_view key, std::string_view) -> base::Result<base::lmdb::Scan> {
      keys.emplace_back(key);
      return base::lmdb::Scan::next;
    }));
    for (const std::string& key : keys) TRY(txn.put_raw(table::stats, key, "damaged"));
    return {};
  }));
  EXPECT_EQ(digest(tree.top()), first);
  EXPECT_EQ(counts.files_opened, 4u);
  EXPECT_EQ(digest(tree.top()), first);
  EXPECT_EQ(counts.files_opened, 0u);
}

TEST_F(StatCacheTest, WithoutAWriterItIsLookedIntoOnly) {
  const TestTree tree(some_tree);
  digest(tree.top());
  const TestTree other({"f file x"});
  StatCache stats(*env, nullptr, clock);
  DigestCounts seen;
  EXPECT_TRUE(digest_directory(tree.top(), plain("/"), &seen, {}, &stats));
  EXPECT_EQ(seen.files_opened, 0u);
  EXPECT_TRUE(digest_directory(other.top(), plain("/"), nullptr, {}, &stats));
  EXPECT_EQ(stats.written(), 0u);
}

TEST_F(StatCacheTest, WhatNobodyAsksForIsForgotten) {
  const TestTree tree(some_tree);
  digest(tree.top());
  must(forget_stats(*env, *writer_, clock.now() - std::chrono::hours(24 * 30)));
  EXPECT_EQ(rows().size(), 4u);
  clock = ShiftedClock(std::chrono::hours(24 * 40));
  digest(tree.top(), plain("a"));  // of use again
  must(forget_stats(*env, *writer_, clock.now() - std::chrono::hours(24 * 30)));
  EXPECT_EQ(rows().size(), 1u);
}

TEST_F(StatCacheTest, ItHasABoundAndTheOldestGoFirst) {
  const TestTree tree(some_tree);
  digest(tree.top());
  std::size_t bytes = 0;
  for (const auto& [key, row] : rows()) bytes += base::Codec<StatRow>::encode(row).size();
  must(forget_stats(*env, *writer_, {}, bytes));
  EXPECT_EQ(rows().size(), 4u);
  clock = ShiftedClock(std::chrono::hours(24 * 3));
  digest(tree.top(), plain("a"));
  must(forget_stats(*env, *writer_, {}, bytes - 1));
  EXPECT_EQ(rows().size(), 3u);
  must(forget_stats(*env, *writer_, {}, bytes / 2));
  digest(tree.top(), plain("a"));
  EXPECT_EQ(counts.files_opened, 0u) << "it was used last";
  must(forget_stats(*env, *writer_, {}, 0));
  EXPECT_TRUE(rows().empty());
}

TEST_F(StatCacheTest, WhatIsSentIsKeptBesideWhatIsScanned) {
  const TestTree tree(some_tree);
  digest(tree.top());
  const std::size_t before = rows().size();
  const base::Fd top = must(base::open_host_dir(tree.top()));
  {
    StatX seen{};
    ASSERT_EQ(::statx(top.get(), "", AT_EMPTY_PATH, STATX_BASIC_STATS | STATX_BTIME, &seen), 0);
    StatCache sent(*env, writer_.get(), clock, StatsOf::sent);
    DirectoryStats stats(sent, top.get(), seen);
    EXPECT_FALSE(stats.find("", seen));
    const NameContent content{{base::digest_of<TreeDigest>("a"), base::digest_of<TreeDigest>("b")},
                              base::digest_of<XattrsDigest>("c")};
    stats.note("", seen, content);
    stats.finish();
    sent.flush();
    settle();
    EXPECT_EQ(DirectoryStats(sent, top.get(), seen).find("", seen), content);
  }
  EXPECT_EQ(rows().size(), before + 1);
  digest(tree.top());
  EXPECT_EQ(counts.files_opened, 0u);
}

TEST_F(StatCacheTest, RowsOfVersion1AreRead) {
  StatRow row{20'000, {{"name", {1, 2, 3, 4, 5, 6, 7, 8}, {{base::digest_of<TreeDigest>("a"), base::digest_of<TreeDigest>("b")}, {}}}}};
  std::string bytes = base::Codec<StatRow>::encode(row);
  ASSERT_EQ(bytes.front(), '\2');
  bytes.front() = '\1';
  const StatRow read = must(base::Codec<StatRow>::decode(bytes));
  EXPECT_EQ(read.entries, row.entries);
  row.entries.front().content.xattrs = base::digest_of<XattrsDigest>("c");
  bytes = base::Codec<StatRow>::encode(row);
  bytes.front() = '\1';
  EXPECT_FALSE(base::Codec<StatRow>::decode(bytes)) << "version 1 had no attributes";
}

TEST_F(StatCacheTest, PoliciesDoNotUseIt) {
  const TestTree tree(some_tree);
  Selection selection = plain("/");
  selection.normalisation.mode_mask = 0700;
  digest(tree.top(), selection);
  EXPECT_EQ(written, 0u);
}

// Random edits, a digest after each few of them, at a clock by which files are trusted after 20 ms.
TEST_F(StatCacheTest, IsAlwaysTheDigestFromScratch) {
  clock = ShiftedClock(seconds(2) - milliseconds(20));
  const bool all = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const std::uint64_t seed = test::test_seed();
  const auto run = [&](const Rounds& rounds) {
    const TestTree tree({});
    for (const auto& round : rounds) {
      for (const Edit& edit : round) apply_edit(edit, tree.top().str());
      if (!round.empty() && round.front().value % 2 == 0) std::this_thread::sleep_for(milliseconds(25));
      if (digest(tree.top()) != shown(tree.digest(plain("/")))) return false;
    }
    return true;
  };
  std::uint64_t remembered = 0;
  for (int i = 0; i < (all ? 2'000 : 15); ++i) {
    std::mt19937_64 random(seed + static_cast<std::uint64_t>(i));
    Rounds rounds(20);
    for (auto& round : rounds)
      for (std::uint64_t n = random() % 10; n > 0; --n) round.push_back(random_edit(random));
    if (!run(rounds)) {
      rounds = shrink(std::move(rounds), [&](const Rounds& less) { return !run(less); });
      FAIL() << "seed " << seed + static_cast<std::uint64_t>(i) << "\n" << to_string(rounds);
    }
    remembered += counts.remembered;
  }
  EXPECT_GT(remembered, 0u) << "the cache was of no use, so this has shown nothing";
}

}  // namespace
}  // namespace cairn::cache
