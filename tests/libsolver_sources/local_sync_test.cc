// SPDX-License-Identifier: Apache-2.0
// A directory that is synced again: what is opened, read and made is what has changed, what comes of it is what a sync
// from scratch would make, and nothing is read back to know its digests.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <thread>

#include "libsolver/sources/local_dir.h"
#include "tests/libcache/store_fixture.h"
#include "tests/libcache_digest/random_edits.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/shifted_clock.h"
#include "tests/support/test_seed.h"

namespace cairn::solver {
namespace {

using cache::Edit;
using cache::EditKind;
using cache::ImmutableRef;
using cache::must;
using std::chrono::milliseconds;
using std::chrono::seconds;
using test::ShiftedClock;

class LocalSyncTest : public testing::TestWithParam<const char*> {
 protected:
  LocalSyncTest() : store(GetParam()) {}

  // As a solve does it: what is known counts, then a fork of the last tree if there is one.
  ImmutableRef sync(const std::optional<ImmutableRef>& last, const LocalFilter& filter = {}) {
    cache::Publication publication;
    std::optional<ImmutableRef> made;
    {
      const base::Fd dir = must(base::open_host_dir(source.root()));
      cache::StatCache stats(*store.env, store.writer.get(), clock, cache::StatsOf::sent);
      LocalSync sync = must(LocalSync::look(dir.get(), filter, &stats));
      looked = must(sync.scan());
      changes = last ? must(sync.changes_from(*last)) : std::nullopt;
      cache::MutableRef tree = must(store.cache->create(changes ? last : std::nullopt));
      {
        const auto mount = must(tree.mount(snapshot::Access::read_write));
        copied = changes ? must(sync.update(mount, *changes)) : must(sync.copy(mount));
      }
      cache::RecordFacts facts;
      facts.rules = cache::DigestRules::stream;
      made = must(std::move(tree).commit(publication, facts, sync.take_description()));
    }
    must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
    return std::move(*made);
  }
  void expect_equal_to_source(const ImmutableRef& ref) {
    const auto mount = must(ref.mount());
    const base::HostPath top = must(base::HostPath::parse("/proc/self/fd/" + std::to_string(mount.fd())));
    auto expected = test::describe_tree(source.root(), test::Times::show);
    EXPECT_EQ(test::describe_tree(top, test::Times::show), expected);
    EXPECT_EQ(copied.digest, test::stream_digest_of(top));
  }

  cache::OpenStore store;
  test::TempDir temporary;
  test::TreeOnDisk source{temporary / "source"};
  ShiftedClock clock{seconds(10)};
  LocalScan looked, copied;
  std::optional<cache::DescribedTree::Changes> changes;
};

INSTANTIATE_TEST_SUITE_P(Drivers, LocalSyncTest, testing::Values("overlay", "native"));

TEST_P(LocalSyncTest, WhereNothingHasChangedNothingIsOpenedOrMade) {
  for (int i = 0; i < 10; ++i) source.file("d" + std::to_string(i % 3) + "/f" + std::to_string(i), "some bytes");
  source.symlink("link", "d0");
  const ImmutableRef first = sync({});
  EXPECT_EQ(looked.files_opened, 10u);
  EXPECT_EQ(copied.files_opened, 10u);
  EXPECT_EQ(copied.bytes, 100u);
  EXPECT_EQ(copied.made, 14u);
  const ImmutableRef second = sync(first);
  EXPECT_EQ(looked.files_opened, 0u);
  EXPECT_EQ(looked.bytes, 0u);
  ASSERT_TRUE(changes);
  EXPECT_TRUE(changes->empty());
  EXPECT_EQ(copied.files_opened, 0u);
  EXPECT_EQ(copied.digest, looked.digest);
  expect_equal_to_source(second);
}

TEST_P(LocalSyncTest, OneChangedFileIsAllThatIsOpenedAndMade) {
  for (int i = 0; i < 100; ++i) source.file("d" + std::to_string(i % 7) + "/f" + std::to_string(i), "some bytes");
  const ImmutableRef first = sync({});
  const TreeDigest before = copied.digest;
  std::this_thread::sleep_for(milliseconds(10));  // past the tick of the clock
  // The change that size and mtime do not show.
  cache::apply_edit({EditKind::write_back, "d3/f3", "", 7}, source.root().str());
  const ImmutableRef second = sync(first);
  EXPECT_EQ(looked.files_opened, 1u);
  EXPECT_EQ(looked.bytes, 10u);
  ASSERT_TRUE(changes);
  EXPECT_THAT(changes->removed, testing::ElementsAre("d3/f3"));
  EXPECT_EQ(copied.made, 1u);
  EXPECT_EQ(copied.files_opened, 1u);
  EXPECT_EQ(copied.bytes, 10u);
  EXPECT_NE(copied.digest, before);
  expect_equal_to_source(second);
}

TEST_P(LocalSyncTest, WhatWasWrittenIsNotReadBackForAnyDigest) {
  for (int i = 0; i < 20; ++i) source.file("d" + std::to_string(i % 3) + "/f" + std::to_string(i), "some bytes");
  source.node("d0/fifo", S_IFIFO | 0600);
  source.node("char", S_IFCHR | 0600, makedev(1, 3));
  source.xattr("d0/f0", "user.note", "hello");
  source.hard_link("d1/other", "d0/f0");
  std::optional<ImmutableRef> last;
  for (int round = 0; round < 3; ++round) {
    source.file("d1/new" + std::to_string(round), "x");
    last = sync(last);
    const auto before = store.cache->counts();
    const auto mount = must(last->mount());
    for (const char* path : {"/", "/d0", "/d0/f0", "/d1", "/char"}) {
      cache::Selection selection;
      selection.path = path;
      const TreeDigest digest = must(last->content_digest({selection}));
      EXPECT_EQ(digest, must(cache::content_digest(mount.fd(), {selection}, cache::DigestRules::stream, nullptr))) << path;
    }
    cache::Selection part;
    part.include_patterns = {"**/f1*", "d2"};
    EXPECT_EQ(must(last->content_digest({part})),
              must(cache::content_digest(mount.fd(), {part}, cache::DigestRules::stream, nullptr)));
    const auto after = store.cache->counts();
    EXPECT_EQ(after.tree_bytes_read, before.tree_bytes_read);
    EXPECT_EQ(after.digests.files_opened, before.digests.files_opened);
    EXPECT_EQ(after.digests.directories_listed, before.digests.directories_listed);
  }
  EXPECT_THAT(store.findings(), testing::IsEmpty());
}

TEST_P(LocalSyncTest, WhatIsYoungerThanTwoSecondsIsReadAgain) {
  clock = ShiftedClock(seconds(0));
  source.file("f", "x");
  const ImmutableRef first = sync({});
  sync(first);
  EXPECT_EQ(looked.files_opened, 1u);
  EXPECT_TRUE(changes->empty()) << "it was read, and is the same";
}

TEST_P(LocalSyncTest, LinkedNamesAreMadeTogether) {
  source.file("a/one", "content");
  source.hard_link("b/two", "a/one");
  source.hard_link("c/three", "a/one");
  source.file("d/big", std::string(1000, 'x'));
  const ImmutableRef first = sync({});
  std::this_thread::sleep_for(milliseconds(10));
  source.hard_link("c/four", "a/one");
  const ImmutableRef second = sync(first);
  ASSERT_TRUE(changes);
  EXPECT_EQ(copied.made, 4u);
  expect_equal_to_source(second);
  std::this_thread::sleep_for(milliseconds(10));
  ASSERT_EQ(::unlink((source.root() / "a/one").c_str()), 0);
  expect_equal_to_source(sync(second));
}

TEST_P(LocalSyncTest, FiltersAreNotMixedUp) {
  for (int i = 0; i < 20; ++i) source.file("d" + std::to_string(i % 3) + "/f" + std::to_string(i), "some bytes");
  const ImmutableRef first = sync({});
  const LocalFilter filter{.include_patterns = {"d1"}, .exclude_patterns = {"d1/f4"}, .follow_paths = {}};
  const ImmutableRef part = sync(first, filter);
  EXPECT_EQ(looked.files_opened, 0u) << "what is known of files is known whoever asks";
  const auto mount = must(part.mount());
  EXPECT_EQ(copied.digest, test::stream_digest_of(must(base::HostPath::parse("/proc/self/fd/" + std::to_string(mount.fd())))));
  expect_equal_to_source(sync(part));
}

TEST_P(LocalSyncTest, ATreeWithLittleInCommonIsMadeAnew) {
  source.file("small", "x");
  const ImmutableRef first = sync({});
  source.file("big", std::string(100'000, 'x'));
  const ImmutableRef second = sync(first);
  EXPECT_FALSE(changes);
  EXPECT_TRUE(second.info().parents.empty());
  expect_equal_to_source(second);
}

// What is gone must not be kept for ever by trees that are made on what it was in.
TEST_P(LocalSyncTest, AChainThatKeepsTooMuchIsLeft) {
  source.file("stays", std::string(10'000, 'x'));
  source.file("junk", std::string(100'000, 'y'));
  std::optional<ImmutableRef> last = sync({});
  ASSERT_EQ(::unlink((source.root() / "junk").c_str()), 0);
  last = sync(last);
  EXPECT_FALSE(changes);
  EXPECT_TRUE(last->info().parents.empty());
  expect_equal_to_source(*last);
  std::size_t anew = 0;
  for (int i = 0; i < 10; ++i) {
    source.file("part", std::string(4'000, static_cast<char>('a' + i)));
    last = sync(last);
    if (!changes) ++anew;
    expect_equal_to_source(*last);
  }
  EXPECT_GE(anew, 1u);
  EXPECT_LE(anew, 5u);
}

TEST_P(LocalSyncTest, DeepAndWideDirectoriesNeedFewDescriptors) {
  source.deep(300);
  for (int i = 0; i < 600; ++i) source.file("wide/" + std::to_string(i), std::to_string(i));
  const ImmutableRef first = sync({});
  source.file("wide/7", "changed");
  const ImmutableRef second = sync(first);
  EXPECT_EQ(copied.files_opened, 1u);
  const auto mount = must(second.mount());
  EXPECT_EQ(copied.digest, test::stream_digest_of(must(base::HostPath::parse("/proc/self/fd/" + std::to_string(mount.fd())))));
}

// Random edits and a sync after each few of them, at a clock by which files are trusted after 20 ms: what comes of it is
// always the source, to its times and links, and what its pages say is what is in it.
TEST_P(LocalSyncTest, IsAlwaysWhatASyncFromScratchWouldMake) {
  clock = ShiftedClock(seconds(2) - milliseconds(20));
  const bool all = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const std::uint64_t seed = test::test_seed();
  std::size_t forks = 0;
  const auto failure = [&](const cache::Rounds& rounds) -> std::string {
    must(base::remove_all_beneath(must(base::open_host_dir(temporary.path())).get(), must(base::TreePath::parse("source"))));
    source = test::TreeOnDisk(temporary / "source");
    std::optional<ImmutableRef> last;
    for (const auto& round : rounds) {
      for (const Edit& edit : round) cache::apply_edit(edit, source.root().str());
      if (!round.empty() && round.front().value % 2 == 0) std::this_thread::sleep_for(milliseconds(25));
      last = sync(last);
      if (changes) ++forks;
      const auto mount = must(last->mount());
      const base::HostPath top = must(base::HostPath::parse("/proc/self/fd/" + std::to_string(mount.fd())));
      auto expected = test::describe_tree(source.root(), test::Times::show);
      for (auto& [name, text] : expected) {
        // The owner is always root: "MODE UID:GID …".
        const auto from = text.find(' ') + 1;
        text.replace(from, text.find_first_of(" ", from) - from, "0:0");
      }
      const auto made = test::describe_tree(top, test::Times::show);
      for (const auto& [name, text] : expected)
        if (const auto found = made.find(name); found == made.end() || found->second != text)
          return name + " is " + (found == made.end() ? "missing" : found->second) + " instead of " + text;
      if (made.size() != expected.size()) return "something is left";
      if (copied.digest != test::stream_digest_of(top)) return "another digest";
      cache::Selection everything;
      if (must(last->content_digest({everything})) !=
          must(cache::content_digest(mount.fd(), {everything}, cache::DigestRules::stream, nullptr)))
        return "another digest by its pages";
    }
    return "";
  };
  for (int i = 0; i < (all ? 500 : 8); ++i) {
    std::mt19937_64 random(seed + static_cast<std::uint64_t>(i));
    cache::Rounds rounds(15);
    for (auto& round : rounds)
      for (std::uint64_t n = random() % 10; n > 0; --n) round.push_back(cache::random_edit(random));
    if (failure(rounds).empty()) continue;
    rounds = cache::shrink(std::move(rounds), [&](const cache::Rounds& less) { return !failure(less).empty(); });
    FAIL() << "seed " << seed + static_cast<std::uint64_t>(i) << ": " << failure(rounds) << "\n" << cache::to_string(rounds);
  }
  EXPECT_GT(forks, 10u);
}

}  // namespace
}  // namespace cairn::solver
