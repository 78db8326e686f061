// SPDX-License-Identifier: Apache-2.0
// The walk of two trees side by side: order, kinds, what BuildKit would have seen, link groups, and what it costs.
#include <dirent.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "libbase/fs/beneath.h"
#include "tests/libsnapshot_changes/trees.h"
#include "tests/support/temp_dir.h"

namespace cairn::snapshot {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class DoubleWalkTest : public testing::Test {
 protected:
  // Both trees begin equal, with this time everywhere.
  void in_both(const std::function<void(const TreeAt&)>& build, long nanoseconds = 5) {
    build(lower);
    build(upper);
    settle(nanoseconds);
  }
  void settle(long nanoseconds = 5) const {
    lower.time_all(1600000000, nanoseconds);
    upper.time_all(1600000000, nanoseconds);
  }
  std::vector<std::string> changes(ChangeOptions options = {}) const {
    options.counts = &counts;
    return stream(lower.open().get(), upper.open().get(), options);
  }

  test::TempDir lower_dir, upper_dir;
  TreeAt lower{lower_dir.path().str()}, upper{upper_dir.path().str()};
  mutable ChangeCounts counts;
};

TEST_F(DoubleWalkTest, WithoutALowerTreeEverythingIsAdded) {
  upper.dir("d");
  upper.file("d/f", "x");
  upper.file("d.txt", "x");
  EXPECT_THAT(stream(std::nullopt, upper.open().get()),
              ElementsAre("modify . (not in layer)", "add d", "add d/f", "add d.txt"));
}

TEST_F(DoubleWalkTest, EqualTreesHaveNoChanges) {
  in_both([](const TreeAt& tree) {
    tree.dir("d");
    tree.file("d/f", "same");
    tree.symlink("l", "d/f");
    tree.node("p", S_IFIFO | 0600);
    tree.node("s", S_IFSOCK | 0600);
  });
  EXPECT_THAT(changes(), IsEmpty());
  EXPECT_EQ(counts.directories, 4u);
  EXPECT_EQ(counts.entries, 12u);
  EXPECT_EQ(counts.bytes_read, 8u);
}

TEST_F(DoubleWalkTest, OneDirectoryTwiceIsNotEntered) {
  lower.file("f", "x");
  ChangeCounts once;
  EXPECT_THAT(stream(lower.open().get(), lower.open().get(), {.counts = &once}), IsEmpty());
  EXPECT_EQ(once.directories, 0u);
}

TEST_F(DoubleWalkTest, NamesAreOrderedBytewiseWithADirectoryBeforeWhatIsInIt) {
  for (const char* name : {"a", "a b", "a-b", "a0", "\xff"}) upper.dir(name);
  upper.file("a/z", "x");
  upper.file("a-b/y", "x");
  settle();
  EXPECT_THAT(changes(), ElementsAre("add a", "add a/z", "add a b", "add a-b", "add a-b/y", "add a0", "add \xff"));
}

TEST_F(DoubleWalkTest, ARemovedDirectoryIsOneChangeAndItsNeighboursAreSeen) {
  in_both([](const TreeAt& tree) { tree.file("d.x", "x"); });
  lower.dir("d");
  lower.file("d/f", "x");
  lower.file("e", "x");
  settle();
  EXPECT_THAT(changes(), ElementsAre("remove d", "remove e"));
}

TEST_F(DoubleWalkTest, AChangeOfTypeIsOneModify) {
  lower.dir("d-to-f");
  lower.file("d-to-f/gone", "x");
  lower.file("f-to-d", "x");
  upper.file("d-to-f", "x");
  upper.dir("f-to-d");
  upper.file("f-to-d/new", "x");
  settle();
  EXPECT_THAT(changes(), ElementsAre("modify d-to-f", "modify f-to-d", "add f-to-d/new"));
}

TEST_F(DoubleWalkTest, DirectoryTimesAndForeignXattrsAreChangesThatNoLayerHolds) {
  in_both([](const TreeAt& tree) {
    tree.dir("d");
    tree.file("f", "x");
    tree.file("c", "x");
  });
  upper.xattr("f", "user.note", "1");
  upper.xattr("c", "security.capability", std::string("\1\0\0\2\4\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 20));
  upper.xattr("d", "trusted.overlay.opaque", "y");
  upper.time("d", 1600000000, 6);
  upper.time(".", 1600000007);
  EXPECT_THAT(changes(), ElementsAre("modify . (not in layer)", "modify c", "modify d (not in layer)",
                                     "modify f (not in layer)"));
}

TEST_F(DoubleWalkTest, OnlyAnOverlayMarkIsNoChange) {
  in_both([](const TreeAt& tree) { tree.dir("d"); });
  upper.xattr("d", "trusted.overlay.opaque", "y");
  EXPECT_THAT(changes(), IsEmpty());
}

TEST_F(DoubleWalkTest, OtherBytesBehindAnEqualTimeAreSeenUnlessTimesAreTrusted) {
  in_both([](const TreeAt& tree) { tree.symlink("l", "aaaa"); });
  lower.file("f", "aaaa");
  upper.file("f", "bbbb");
  upper.remove("l");
  upper.symlink("l", "bbbb");
  settle(5);
  EXPECT_THAT(changes(), ElementsAre("modify f (not in layer)", "modify l (not in layer)"));
  EXPECT_THAT(changes({.contents = Contents::trust_times}), ElementsAre("modify l (not in layer)"));
  settle(0);  // whole seconds: BuildKit looks itself
  EXPECT_THAT(changes({.contents = Contents::trust_times}), ElementsAre("modify f", "modify l"));
}

TEST_F(DoubleWalkTest, ANanosecondIsAChangeThatLayersHold) {
  in_both([](const TreeAt& tree) { tree.file("f", "x"); });
  upper.time("f", 1600000000, 6);
  EXPECT_THAT(changes(), ElementsAre("modify f"));
}

TEST_F(DoubleWalkTest, NamesOfLinkedInodesAreReplayedWhenAskedFor) {
  in_both([](const TreeAt& tree) {
    tree.file("a", "x");
    tree.link("b", "a");
    tree.file("c", "x");
  });
  upper.link("z", "a");
  settle();
  EXPECT_THAT(changes(), ElementsAre("add z"));
  EXPECT_THAT(changes({.replay = Replay::hard_links}),
              ElementsAre("unmodified a (not in layer)", "unmodified b (not in layer)", "add z"));
}

TEST_F(DoubleWalkTest, LinksThatPartedOrMetAreRelinked) {
  lower.file("apart1", "x");
  lower.link("apart2", "apart1");
  lower.file("met1", "y");
  lower.file("met2", "y");
  upper.file("apart1", "x");
  upper.file("apart2", "x");
  upper.file("met1", "y");
  upper.link("met2", "met1");
  settle();
  EXPECT_THAT(changes(), ElementsAre("relink apart2 (not in layer)", "relink met2 (not in layer)"));
}

TEST_F(DoubleWalkTest, ANameOfANewInodeIsRelinkedToIt) {
  in_both([](const TreeAt& tree) { tree.file("b", "x"); });
  upper.link("a", "b");
  settle();
  EXPECT_THAT(changes(), ElementsAre("add a", "relink b (not in layer)"));
}

TEST_F(DoubleWalkTest, WhatCannotDifferIsNotLookedAt) {
  in_both([](const TreeAt& tree) {
    for (const char* name : {"a", "b"}) {
      tree.dir(name);
      tree.file(std::string(name) + "/f", "x");
    }
  });
  upper.file("a/f", "longer");
  upper.file("b/f", "longer");
  upper.file("new", "x");
  upper.time_all(1600000000, 5);
  EXPECT_THAT(changes({.may_differ = [](const base::TreePath& path) { return path.str().starts_with("b"); }}),
              ElementsAre("modify b/f", "add new"));
  EXPECT_EQ(counts.directories, 4u);
  EXPECT_EQ(counts.entries, 2u + 2u + 2u + 1u);
}

TEST_F(DoubleWalkTest, AVisitorsErrorAndARequestToStopEndTheWalk) {
  upper.file("a", "x");
  upper.file("b", "x");
  int seen = 0;
  const auto failed = changes_between(std::nullopt, upper.open().get(), [&](const Change& change) -> base::Status {
    ++seen;
    if (change.path.str() == "a") return base::fail(base::ErrorCode::no_space, "full");
    return {};
  }, {});
  ASSERT_FALSE(failed);
  EXPECT_EQ(failed.error().code, base::ErrorCode::no_space);
  EXPECT_EQ(seen, 2);
  std::stop_source source;
  source.request_stop();
  const auto stopped = changes_between(std::nullopt, upper.open().get(), [](const Change&) { return base::Status(); },
                                       {.stop = source.get_token()});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, base::ErrorCode::cancelled);
}

// Deeper than PATH_MAX and than the number of descriptors that are allowed meanwhile.
TEST_F(DoubleWalkTest, DepthCostsNoDescriptors) {
  constexpr int depth = 500;
  const std::string name(20, 'd');
  for (const TreeAt* tree : {&lower, &upper}) {
    base::Fd at = tree->open();
    for (int level = 0; level < depth; ++level) {
      ASSERT_EQ(::mkdirat(at.get(), name.c_str(), 0755), 0);
      at = base::Fd(::openat(at.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
      ASSERT_TRUE(at);
    }
    if (tree == &upper) {
      ASSERT_EQ(::mkdirat(at.get(), "new", 0755), 0);
    }
  }
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{32, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  std::size_t added = 0;
  const auto walked = changes_between(lower.open().get(), upper.open().get(), [&](const Change& change) -> base::Status {
    if (change.kind == ChangeKind::add) added = change.path.str().size();
    return {};
  }, {});
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  must(walked);
  EXPECT_EQ(added, depth * 21 + 3u);
}

}  // namespace
}  // namespace cairn::snapshot
