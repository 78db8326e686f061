// SPDX-License-Identifier: Apache-2.0
// The lineages of cache mounts: who forks what, who becomes the head, and what a union holds.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/fs/beneath.h"
#include "libcache/cache_mounts.h"
#include "libsolver/cache_key.h"
#include "libsolver/ops/cache_mounts.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::solver {
namespace {

using cache::must;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

base::TreePath at(const std::string& path) { return must(base::TreePath::parse(path)); }

void put(const snapshot::MountedTree& tree, const std::string& path, const std::string& text, int second) {
  const base::Fd file = must(base::open_beneath(tree.fd(), at(path), O_WRONLY | O_CREAT | O_TRUNC, 0644));
  must(base::write_full(file.get(), text));
  const struct ::timespec times[2] = {{1'700'000'000 + second, 0}, {1'700'000'000 + second, 0}};
  ASSERT_EQ(::futimens(file.get(), times), 0);
}
void make_dir(const snapshot::MountedTree& tree, const std::string& path) { ASSERT_EQ(::mkdirat(tree.fd(), path.c_str(), 0755), 0); }

class CacheMountsTest : public ::testing::Test {
 protected:
  CacheMountUse open(std::shared_ptr<LiveCacheMounts> live = nullptr) {
    return must(CacheMountUse::open({.cache = *store_.cache, .queues = queues_, .live = std::move(live), .id = "id", .begin = std::nullopt, .owner = {.project = "p", .build = "b", .step = "s"}}, {}));
  }
  // "path" of directories, "path=text" of files, all of them below the head.
  std::vector<std::string> head() {
    const OptionalRef found = must(find_cache_mount(*store_.cache, key_));
    if (!found) return {"no head"};
    const auto tree = must(found->mount());
    std::vector<std::string> all;
    list(tree, "", all);
    std::sort(all.begin(), all.end());
    return all;
  }
  void list(const snapshot::MountedTree& tree, const std::string& dir, std::vector<std::string>& all) {
    const base::Fd fd = must(base::open_beneath(tree.fd(), at(dir), O_RDONLY | O_DIRECTORY));
    for (const base::DirEntry& entry : must(base::list_dir(fd.get()))) {
      const std::string path = dir.empty() ? entry.name : dir + "/" + entry.name;
      const auto text = base::read_beneath(tree.fd(), at(path), 1 << 20);
      all.push_back(text ? path + "=" + *text : path);
      if (!text) list(tree, path, all);
    }
  }
  // The head of most tests, made by one use.
  void begin_with(const std::function<void(const snapshot::MountedTree&)>& fill) {
    CacheMountUse use = open();
    fill(use.tree());
    must(use.keep("begin"));
  }

  std::vector<cache::CacheMountInfo> listed() {
    const OptionalRef found = must(find_cache_mount(*store_.cache, key_));
    if (found) must(store_.writer->wait_durable(store_.cache->sequence_of(*found)));
    return must(cache::list_cache_mounts(*store_.env, store_.root()));
  }

  cache::OpenStore store_;
  CacheMountQueues queues_;
  const KeyDigest key_ = cache_mount_key("id", std::nullopt);
};

TEST_F(CacheMountsTest, who_is_gone_without_keeping_leaves_the_head_as_it_was) {
  {
    const CacheMountUse use = open();
    put(use.tree(), "lost", "x", 1);
  }
  EXPECT_THAT(head(), ElementsAre("no head"));
  begin_with([](const auto& tree) { put(tree, "kept", "x", 1); });
  {
    const CacheMountUse use = open();
    put(use.tree(), "kept", "torn", 2);
  }
  EXPECT_THAT(head(), ElementsAre("kept=x"));
}

TEST_F(CacheMountsTest, a_fork_in_which_nothing_changed_is_dropped) {
  begin_with([](const auto& tree) { put(tree, "a", "x", 1); });
  const auto before = must(find_cache_mount(*store_.cache, key_))->id();
  CacheMountUse use = open();
  must(use.keep("nothing"));
  EXPECT_EQ(must(find_cache_mount(*store_.cache, key_))->id(), before);
  CacheMountUse deletes = open();
  ASSERT_EQ(::unlinkat(deletes.tree().fd(), "a", 0), 0);
  must(deletes.keep("a deletion alone"));
  EXPECT_THAT(head(), IsEmpty());
}

TEST_F(CacheMountsTest, forks_of_one_head_are_joined_by_path_and_the_newer_wins) {
  begin_with([](const auto& tree) {
    put(tree, "both", "old", 1);
    put(tree, "first's", "old", 1);
    make_dir(tree, "dir");
    put(tree, "dir/old", "old", 1);
  });
  CacheMountUse first = open(), second = open();
  put(first.tree(), "both", "newer", 20);
  put(first.tree(), "first's", "newer", 20);
  put(first.tree(), "dir/first", "1", 20);
  put(second.tree(), "both", "older", 10);
  put(second.tree(), "dir/second", "2", 10);
  make_dir(second.tree(), "new");
  put(second.tree(), "new/deep", "3", 10);
  must(first.keep("first"));
  must(second.keep("second"));
  EXPECT_THAT(head(), ElementsAre("both=newer", "dir", "dir/first=1", "dir/old=old", "dir/second=2", "first's=newer", "new", "new/deep=3"));
}

TEST_F(CacheMountsTest, the_newer_wins_whoever_ends_last) {
  begin_with([](const auto& tree) { put(tree, "both", "old", 1); });
  CacheMountUse first = open(), second = open();
  put(first.tree(), "both", "older", 10);
  put(second.tree(), "both", "newer", 20);
  must(first.keep("first"));
  must(second.keep("second"));
  EXPECT_THAT(head(), ElementsAre("both=newer"));
}

TEST_F(CacheMountsTest, what_only_one_has_deleted_is_in_the_union) {
  begin_with([](const auto& tree) {
    put(tree, "a", "x", 1);
    put(tree, "b", "x", 1);
  });
  CacheMountUse first = open(), second = open();
  ASSERT_EQ(::unlinkat(first.tree().fd(), "a", 0), 0);
  put(second.tree(), "c", "x", 2);
  must(first.keep("first"));
  must(second.keep("second"));
  EXPECT_THAT(head(), ElementsAre("a=x", "b=x", "c=x"));
  // Alone, a deletion is one.
  CacheMountUse third = open();
  ASSERT_EQ(::unlinkat(third.tree().fd(), "a", 0), 0);
  must(third.keep("third"));
  EXPECT_THAT(head(), ElementsAre("b=x", "c=x"));
}

TEST_F(CacheMountsTest, a_file_never_takes_a_directory_away_and_what_is_below_a_newer_file_is_left_out) {
  begin_with([](const auto& tree) { put(tree, "seed", "x", 1); });
  CacheMountUse first = open(), second = open();
  make_dir(first.tree(), "x");
  put(first.tree(), "x/in", "1", 1);
  put(second.tree(), "x", "file", 400'000'000);  // newer than any directory made now
  put(first.tree(), "y", "file", 400'000'000);
  make_dir(second.tree(), "y");
  put(second.tree(), "y/in", "2", 1);
  put(second.tree(), "y-after", "2", 1);
  must(first.keep("first"));
  must(second.keep("second"));
  EXPECT_THAT(head(), ElementsAre("seed=x", "x", "x/in=1", "y-after=2", "y=file"));
}

TEST_F(CacheMountsTest, a_long_lineage_begins_anew) {
  std::size_t longest = 0, without_past = 0;
  for (int i = 0; i < 40; ++i) {
    CacheMountUse use = open();
    put(use.tree(), "file", std::to_string(i), i);
    put(use.tree(), "file-" + std::to_string(i % 3), "x", i);
    must(use.keep("use"));
    std::size_t length = 0;
    for (OptionalRef at = must(find_cache_mount(*store_.cache, key_)); at; ++length) {
      const auto parents = at->info().parents;
      at = parents.empty() ? OptionalRef() : must(store_.cache->find(parents.front()));
    }
    longest = std::max(longest, length);
    without_past += length == 1 ? 1 : 0;
  }
  EXPECT_EQ(longest, 33u);
  EXPECT_EQ(without_past, 2u);
  EXPECT_THAT(head(), ElementsAre("file-0=x", "file-1=x", "file-2=x", "file=39"));
}

TEST_F(CacheMountsTest, steps_of_one_solve_share_a_tree_and_the_last_keeps_it) {
  const auto live = std::make_shared<LiveCacheMounts>();
  CacheMountUse first = open(live), second = open(live);
  CacheMountUse elsewhere = open(std::make_shared<LiveCacheMounts>());
  put(first.tree(), "a", "1", 1);
  EXPECT_EQ(must(base::read_beneath(second.tree().fd(), at("a"), 100)), "1");
  EXPECT_FALSE(base::read_beneath(elsewhere.tree().fd(), at("a"), 100));
  must(first.keep("first"));
  EXPECT_THAT(head(), ElementsAre("no head")) << "the second still writes";
  put(second.tree(), "b", "2", 1);
  must(second.keep("second"));
  EXPECT_THAT(head(), ElementsAre("a=1", "b=2"));
  const CacheMountUse later = open(live);
  EXPECT_EQ(must(base::read_beneath(later.tree().fd(), at("b"), 100)), "2");
}

TEST_F(CacheMountsTest, a_shared_tree_that_a_killed_step_wrote_to_is_not_kept) {
  const auto live = std::make_shared<LiveCacheMounts>();
  auto killed = std::make_unique<CacheMountUse>(open(live));
  CacheMountUse other = open(live);
  put(other.tree(), "a", "1", 1);
  killed.reset();
  const auto kept = other.keep("other");
  ASSERT_FALSE(kept);
  EXPECT_THAT(kept.error().message, ::testing::HasSubstr("was killed"));
  EXPECT_THAT(head(), ElementsAre("no head"));
  CacheMountUse next = open(live);
  must(next.keep("next"));
}

TEST_F(CacheMountsTest, its_name_is_known_with_its_versions) {
  EXPECT_THAT(listed(), IsEmpty());
  begin_with([](const auto& tree) { put(tree, "a", "x", 1); });
  CacheMountUse use = open();
  put(use.tree(), "b", "y", 2);
  must(use.keep("second"));
  const auto mounts = listed();
  ASSERT_EQ(mounts.size(), 1u);
  EXPECT_EQ(mounts[0].id, "id");
  EXPECT_EQ(mounts[0].key, key_);
  EXPECT_FALSE(mounts[0].base);
  EXPECT_FALSE(mounts[0].limit);
  ASSERT_EQ(mounts[0].versions.size(), 2u);
  EXPECT_EQ(mounts[0].versions[0].facts.description, "second");
  EXPECT_EQ(mounts[0].versions[1].facts.description, "begin");
  EXPECT_EQ(mounts[0].versions[0].facts.owner, (cache::Owner{.project = "p", .build = "b", .step = "s"}));
  EXPECT_GE(mounts[0].versions[0].facts.build_time, mounts[0].versions[1].facts.build_time) << "what a cold use took stays known";
  EXPECT_GT(mounts[0].versions[1].facts.build_time.count(), 0);
  EXPECT_EQ(mounts[0].bytes(), mounts[0].versions[0].space.exclusive_bytes + mounts[0].versions[1].space.exclusive_bytes);
}

TEST_F(CacheMountsTest, one_that_is_ended_is_forgotten_and_begins_anew) {
  begin_with([](const auto& tree) { put(tree, "old", "x", 1); });
  CacheMountUse meanwhile = open();
  put(meanwhile.tree(), "late", "y", 2);
  must(store_.cache->cache_mounts().end(key_));
  EXPECT_THAT(head(), ElementsAre("no head"));
  EXPECT_THAT(listed(), IsEmpty());
  const auto kept = meanwhile.keep("late");
  ASSERT_FALSE(kept) << "what it was forked from is gone";
  EXPECT_EQ(kept.error().code, base::ErrorCode::cancelled);
  begin_with([](const auto& tree) { put(tree, "new", "z", 3); });
  EXPECT_THAT(head(), ElementsAre("new=z"));
  EXPECT_EQ(listed().size(), 1u);
  const auto pruned = must(store_.cache->prune({}));
  ASSERT_EQ(pruned.records.size(), 1u);
  EXPECT_EQ(pruned.records[0].facts.description, "begin");
}

TEST_F(CacheMountsTest, one_that_holds_more_than_its_limit_ends) {
  begin_with([](const auto& tree) { put(tree, "a", std::string(100'000, 'x'), 1); });
  must(store_.writer->wait_durable(must(store_.cache->cache_mounts().set_limit(key_, 300'000))));
  {
    CacheMountUse use = open();
    put(use.tree(), "b", std::string(100'000, 'y'), 2);
    must(use.keep("fits"));
  }
  ASSERT_EQ(listed().size(), 1u);
  EXPECT_EQ(listed()[0].limit, 300'000) << "a version more does not forget it";
  CacheMountUse use = open();
  put(use.tree(), "c", std::string(200'000, 'z'), 3);
  const auto kept = use.keep("too much");
  ASSERT_FALSE(kept);
  EXPECT_EQ(kept.error().code, base::ErrorCode::no_space);
  EXPECT_THAT(kept.error().message, ::testing::HasSubstr("more than its limit of 300000"));
  EXPECT_THAT(head(), ElementsAre("no head"));
}

TEST_F(CacheMountsTest, a_limit_is_of_a_mount_that_there_is) {
  const auto set = store_.writer->wait_durable(must(store_.cache->cache_mounts().set_limit(key_, 1)));
  ASSERT_FALSE(set);
  EXPECT_EQ(set.error().code, base::ErrorCode::not_found);
}

TEST_F(CacheMountsTest, a_name_goes_with_its_last_version_unless_it_has_a_limit) {
  begin_with([](const auto& tree) { put(tree, "a", "x", 1); });
  must(store_.cache->prune({.all = true}));
  EXPECT_THAT(listed(), IsEmpty());
  begin_with([](const auto& tree) { put(tree, "a", "x", 1); });
  must(store_.writer->wait_durable(must(store_.cache->cache_mounts().set_limit(key_, 1 << 20))));
  must(store_.cache->prune({.all = true}));
  ASSERT_EQ(listed().size(), 1u);
  EXPECT_THAT(listed()[0].versions, IsEmpty());
  EXPECT_EQ(listed()[0].limit, 1 << 20);
}

}  // namespace
}  // namespace cairn::solver
