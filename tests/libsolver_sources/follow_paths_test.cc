// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/follow_paths.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/fs/fd.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using testing::ElementsAre;
using Paths = std::vector<std::string>;

struct FollowPathsTest : testing::Test {
  // What the paths expand to; {"<everything>"} for the root.
  Paths follow(const Paths& paths) {
    const auto fd = base::open_host_dir(tree.root());
    const auto found = follow_paths(fd->get(), paths);
    EXPECT_TRUE(found) << found.error().message;
    return found && *found ? **found : Paths{"<everything>"};
  }
  test::TempDir temporary;
  test::TreeOnDisk tree{temporary / "context"};
};

TEST_F(FollowPathsTest, LinksAndWhatTheyLeadTo) {
  tree.file("dir/foo", "contents");
  tree.symlink("dir/l1", "foo");
  tree.symlink("l2", "dir/l1");
  tree.file("bar");
  EXPECT_THAT(follow({"l2", "bar"}), ElementsAre("bar", "dir/foo", "dir/l1", "l2"));
}

TEST_F(FollowPathsTest, LoopsEnd) {
  tree.symlink("l1", "l1");
  tree.symlink("l2", "l3");
  tree.symlink("l3", "l2");
  tree.symlink("grow", "grow/x");
  EXPECT_THAT(follow({"l1", "l3", "grow"}), ElementsAre("grow", "l1", "l2", "l3"));
}

TEST_F(FollowPathsTest, AbsoluteLinksStartAtTheDirectory) {
  tree.symlink("dir/l1", "/foo/bar/baz");
  tree.symlink("foo/bar", "../../../");
  tree.file("baz");
  EXPECT_THAT(follow({"dir/l1"}), ElementsAre("baz", "dir/l1", "foo/bar"));
}

TEST_F(FollowPathsTest, NothingLeadsOut) {
  test::TreeOnDisk(temporary / "outside").symlink("link", "/etc/passwd");
  tree.symlink("out", "../outside/link");
  EXPECT_THAT(follow({"out", "../../etc/hosts"}), ElementsAre("etc/hosts", "out", "outside/link"));
}

TEST_F(FollowPathsTest, WhatDoesNotExistIsKept) {
  EXPECT_THAT(follow({"foo/bar/baz", "bar/baz", "f*/foo/t*"}), ElementsAre("bar/baz", "f*/foo/t*", "foo/bar/baz"));
}

TEST_F(FollowPathsTest, PathsBelowOthersAreDropped) {
  tree.symlink("dir/l1", "/foo");
  tree.symlink("dir/l2", "/");
  tree.file("foo/bar");
  EXPECT_THAT(follow({"foo/bar/baz", "foo/bar", "./foo//bar/"}), ElementsAre("foo/bar"));
  EXPECT_THAT(follow({"dir/l1", "foo/bar"}), ElementsAre("dir/l1", "foo"));
  EXPECT_THAT(follow({"."}), ElementsAre("<everything>"));
  EXPECT_THAT(follow({"dir/l2", "foo"}), ElementsAre("<everything>"));
}

TEST_F(FollowPathsTest, WildcardsAreExpandedToFindLinks) {
  tree.symlink("dir/l1", "/foo/bar1");
  tree.symlink("dir/l2", "/foo/bar2");
  tree.symlink("dir/anotherlink", "/foo/bar3");
  tree.symlink("foo/bar2", "../baz");
  tree.file("foo/bar1");
  tree.file("foo/bar3");
  tree.file("baz");
  EXPECT_THAT(follow({"dir/l*"}), ElementsAre("baz", "dir/l*", "foo/bar1", "foo/bar2"));
  EXPECT_THAT(follow({"dir", "dir/*link"}), ElementsAre("dir", "foo/bar3"));
}

TEST_F(FollowPathsTest, TwoPathsThroughOneLinkAreBothFollowed) {
  tree.symlink("current", "v1");
  tree.file("v1/a");
  tree.file("v1/b");
  EXPECT_THAT(follow({"current/a", "current/b"}), ElementsAre("current", "v1/a", "v1/b"));
}

TEST_F(FollowPathsTest, LinksThatMultiplyAreRefused) {
  tree.symlink("la", "l*/a");
  tree.symlink("lb", "l*/b");
  const auto fd = base::open_host_dir(tree.root());
  const auto found = follow_paths(fd->get(), {"l*"});
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, base::ErrorCode::invalid_argument);
}

TEST_F(FollowPathsTest, WhatNoFileCanBeCalledIsRefused) {
  const auto fd = base::open_host_dir(tree.root());
  EXPECT_EQ(follow_paths(fd->get(), {std::string(300, 'x')}).error().code, base::ErrorCode::invalid_argument);
  EXPECT_EQ(follow_paths(fd->get(), {std::string("a\0b", 3)}).error().code, base::ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace cairn::solver
