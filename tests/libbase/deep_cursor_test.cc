// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/deep_cursor.h"

#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class DeepCursorTest : public FsTest {
 protected:
  ino_t inode(std::string_view path) { return find_stat_beneath(root(), tree(path)).value()->st_ino; }
  ino_t inode(const DeepCursor& cursor) { return stat_fd(cursor.fd()).value().st_ino; }
};

TEST_F(DeepCursorTest, steps_down_and_up) {
  make_dirs("a/b");
  DeepCursor cursor(root());
  EXPECT_OK(cursor.enter("a"));
  EXPECT_OK(cursor.enter("b"));
  EXPECT_EQ(cursor.path(), "a/b");
  EXPECT_EQ(inode(cursor), inode("a/b"));
  EXPECT_EQ(cursor.depth(), 2u);
  EXPECT_OK(cursor.leave());
  EXPECT_EQ(inode(cursor), inode("a"));
  EXPECT_OK(cursor.leave());
  EXPECT_EQ(cursor.fd(), root());
  EXPECT_EQ(cursor.path(), "");
}

TEST_F(DeepCursorTest, enters_directories_only) {
  make_file("file");
  make_dirs("dir");
  make_link("dir", "link");
  DeepCursor cursor(root());
  EXPECT_CODE(cursor.enter("file"), ErrorCode::not_found);
  EXPECT_CODE(cursor.enter("link"), ErrorCode::not_found);
  EXPECT_CODE(cursor.enter("none"), ErrorCode::not_found);
  EXPECT_EQ(cursor.depth(), 0u);
}

TEST_F(DeepCursorTest, does_not_follow_a_directory_that_is_moved_away) {
  make_dirs("a/b/c");
  make_dirs("elsewhere");
  DeepCursor cursor(root());
  for (const char* name : {"a", "b", "c"}) EXPECT_OK(cursor.enter(name));
  ASSERT_EQ(::rename(host("a/b").c_str(), host("elsewhere/b").c_str()), 0);
  EXPECT_OK(cursor.leave());
  EXPECT_CODE(cursor.leave(), ErrorCode::busy);
}

TEST_F(DeepCursorTest, reads_entries_from_the_start_each_time) {
  make_file("a");
  make_file("b");
  EXPECT_EQ(read_entries(root()).value().size(), 2u);
  make_file("c");
  EXPECT_EQ(read_entries(root()).value().size(), 3u);
  make_dirs("removed");
  const Fd removed = open_host_dir(host("removed")).value();
  ASSERT_EQ(::rmdir(host("removed").c_str()), 0);
  EXPECT_TRUE(read_entries(removed.get()).value().empty());
  EXPECT_CODE(read_entries(open_host(host("a"), O_RDONLY).value().get()), ErrorCode::not_found);
  EXPECT_CODE(read_entries(-1), ErrorCode::io);
}

}  // namespace
}  // namespace cairn::base
