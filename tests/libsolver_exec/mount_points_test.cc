// SPDX-License-Identifier: Apache-2.0
// Where mounts go, on plain directories.
#include "libsolver/exec/mount_points.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::TreePath;
using snapshot::Access;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class MountPointsTest : public ::testing::Test {
 protected:
  TreePath path(std::string_view text) { return *TreePath::parse(text); }
  void link(const char* target, const char* name) { ASSERT_EQ(::symlink(target, (temp_ / name).c_str()), 0); }
  base::Result<std::string> add(std::string_view dest, PointKind kind = PointKind::directory) {
    return points_.add(path(dest), kind, -1, Access::read_write);
  }

  test::TempDir temp_;
  base::Fd root_ = *base::open_host_dir(temp_.path());
  MountPoints points_{root_.get()};
};

TEST_F(MountPointsTest, links_are_resolved_inside_the_root) {
  link("/real/place", "absolute");
  link("../../..", "up");
  link("absolute/..", "chain");
  link("/nowhere/at/all", "dangling");
  ASSERT_TRUE(test::put_file(temp_.path(), "real/place/x", ""));
  EXPECT_EQ(*add("absolute/new"), "/real/place/new");
  EXPECT_EQ(*add("up/new"), "/new");
  EXPECT_EQ(*add("chain/new"), "/real/new");
  EXPECT_EQ(*add("dangling", PointKind::file), "/nowhere/at/all");
  EXPECT_TRUE(S_ISREG((*base::find_stat_beneath(root_.get(), path("nowhere/at/all")))->st_mode));
  ASSERT_TRUE(points_.restore(RemoveStubs::created_parents));
  EXPECT_THAT(test::names_in(temp_.path()), ElementsAre("absolute", "chain", "dangling", "real", "up"));
  EXPECT_THAT(test::names_in(temp_ / "real"), ElementsAre("place"));
}

TEST_F(MountPointsTest, loops_and_hidden_roots_are_refused) {
  link("loop", "loop");
  link("/", "top");
  EXPECT_EQ(add("loop/x").error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(add("top").error().code, ErrorCode::invalid_argument);
  ASSERT_TRUE(points_.restore(RemoveStubs::last_component));
}

TEST_F(MountPointsTest, a_later_mount_hides_what_was_below_it) {
  const test::TempDir inner;
  const base::Fd inner_dir = *base::open_host_dir(inner.path());
  ASSERT_TRUE(add("a/b"));
  ASSERT_TRUE(points_.add(path("a"), PointKind::directory, inner_dir.get(), Access::read_write));
  EXPECT_EQ(*add("a/b/c"), "/a/b/c");
  EXPECT_THAT(test::names_in(inner / "b"), ElementsAre("c")) << "not left to whatever was mounted at a/b";
  ASSERT_TRUE(points_.restore(RemoveStubs::created_parents));
  EXPECT_THAT(test::names_in(inner.path()), IsEmpty());
  EXPECT_THAT(test::names_in(temp_.path()), IsEmpty());
}

TEST_F(MountPointsTest, what_the_runtime_mounts_is_left_to_it) {
  ASSERT_TRUE(add("dev"));
  EXPECT_EQ(*add("dev/pts"), "/dev/pts");
  EXPECT_THAT(test::names_in(temp_ / "dev"), IsEmpty());
}

TEST_F(MountPointsTest, stubs_that_were_used_stay) {
  ASSERT_TRUE(add("dir"));
  ASSERT_TRUE(add("file", PointKind::file));
  ASSERT_TRUE(add("swapped"));
  ASSERT_TRUE(add("gone/below"));
  ASSERT_TRUE(test::put_file(temp_.path(), "dir/in", ""));
  ASSERT_TRUE(test::put_file(temp_.path(), "file", "text"));
  ASSERT_EQ(::rmdir((temp_ / "swapped").c_str()), 0);
  link("dir", "swapped");
  ASSERT_EQ(::rmdir((temp_ / "gone/below").c_str()), 0);
  ASSERT_EQ(::rmdir((temp_ / "gone").c_str()), 0);
  link("dir", "gone");
  ASSERT_TRUE(points_.restore(RemoveStubs::created_parents));
  EXPECT_THAT(test::names_in(temp_.path()), ElementsAre("dir", "file", "gone", "swapped"));
}

TEST_F(MountPointsTest, the_umask_does_not_show) {
  const ::mode_t before = ::umask(077);
  const auto added = add("dir");
  const auto cwd = points_.make_cwd(path("cwd/deep"), {1000, 1001, {}});
  ::umask(before);
  ASSERT_TRUE(added);
  ASSERT_TRUE(cwd);
  struct ::stat stat = {};
  ASSERT_EQ(::stat((temp_ / "dir").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0755u);
  ASSERT_EQ(::stat((temp_ / "cwd/deep").c_str(), &stat), 0);
  EXPECT_EQ(stat.st_mode & 07777, 0755u);
  EXPECT_EQ(stat.st_uid, 1000u);
  EXPECT_EQ(stat.st_gid, 1001u);
}

TEST_F(MountPointsTest, a_made_working_directory_counts_as_a_change) {
  const struct ::timespec old[2] = {{1000, 0}, {1000, 0}};
  ASSERT_EQ(::utimensat(AT_FDCWD, temp_.path().c_str(), old, 0), 0);
  ASSERT_TRUE(add("stub"));
  ASSERT_TRUE(points_.make_cwd(path("work"), {}));
  ASSERT_TRUE(points_.restore(RemoveStubs::last_component));
  struct ::stat stat = {};
  ASSERT_EQ(::stat(temp_.path().c_str(), &stat), 0);
  EXPECT_GT(stat.st_mtim.tv_sec, 1000);
  EXPECT_THAT(test::names_in(temp_.path()), ElementsAre("work"));
}

TEST_F(MountPointsTest, a_read_only_tree_without_the_mount_point_is_refused) {
  const test::TempDir inner;
  const base::Fd inner_dir = *base::open_host_dir(inner.path());
  ASSERT_TRUE(points_.add(path("ro"), PointKind::directory, inner_dir.get(), Access::read_only));
  const auto added = add("ro/x");
  ASSERT_FALSE(added);
  EXPECT_EQ(added.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(added.error().message, ::testing::HasSubstr("read-only mount at /ro"));
  EXPECT_THAT(test::names_in(inner.path()), IsEmpty());
  ASSERT_TRUE(points_.restore(RemoveStubs::created_parents));
}

}  // namespace
}  // namespace cairn::solver
