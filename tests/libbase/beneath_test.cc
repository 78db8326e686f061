// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/beneath.h"

#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class BeneathTest : public FsTest {};

TEST_F(BeneathTest, opens_files_and_the_root) {
  make_file("a/b/file", "text");
  const Fd fd = open_beneath(root(), tree("a/b/file"), O_RDONLY).value();
  EXPECT_EQ(read_all(fd.get(), 100).value(), "text");
  EXPECT_TRUE(::fcntl(fd.get(), F_GETFD) & FD_CLOEXEC);
  const Fd same = open_beneath(root(), TreePath(), O_RDONLY | O_DIRECTORY).value();
  EXPECT_EQ(stat_fd(same.get()).value().st_ino, stat_fd(root()).value().st_ino);
  const Fd by_path = open_beneath(Fd(open_host(temp_.path(), O_PATH).value()).get(), tree("a"), O_PATH).value();
  EXPECT_TRUE(S_ISDIR(stat_fd(by_path.get()).value().st_mode));
}

TEST_F(BeneathTest, creates_with_the_mode_and_ignores_one_without_a_use) {
  const Fd made = open_beneath(root(), tree("new"), O_WRONLY | O_CREAT | O_EXCL, 0640).value();
  EXPECT_EQ(stat_fd(made.get()).value().st_mode & 07777, 0640u);
  EXPECT_OK(open_beneath(root(), tree("new"), O_RDONLY, 0640));
  EXPECT_CODE(open_beneath(root(), tree("new"), O_WRONLY | O_CREAT | O_EXCL, 0640), ErrorCode::already_exists);
  const Fd unnamed = open_beneath(root(), TreePath(), O_TMPFILE | O_RDWR, 0600).value();
  EXPECT_EQ(stat_fd(unnamed.get()).value().st_nlink, 0u);
}

TEST_F(BeneathTest, open_tells_why_it_cannot) {
  make_file("file");
  EXPECT_CODE(open_beneath(root(), tree("none"), O_RDONLY), ErrorCode::not_found);
  EXPECT_CODE(open_beneath(root(), tree("none/below"), O_RDONLY), ErrorCode::not_found);
  EXPECT_CODE(open_beneath(root(), tree("file/below"), O_RDONLY), ErrorCode::not_found);
  EXPECT_CODE(open_beneath(root(), tree("file"), O_RDONLY | O_DIRECTORY), ErrorCode::not_found);
  EXPECT_CODE(open_beneath(-1, tree("file"), O_RDONLY), ErrorCode::io);
}

TEST_F(BeneathTest, reads_regular_files_only) {
  make_file("file", "text");
  make_dirs("dir");
  ASSERT_EQ(::mkfifo(host("fifo").c_str(), 0600), 0);
  EXPECT_EQ(read_beneath(root(), tree("file"), 4).value(), "text");
  EXPECT_CODE(read_beneath(root(), tree("file"), 3), ErrorCode::invalid_argument);
  EXPECT_CODE(read_beneath(root(), tree("dir"), 100), ErrorCode::invalid_argument);
  EXPECT_CODE(read_beneath(root(), tree("fifo"), 100), ErrorCode::invalid_argument);
  EXPECT_CODE(read_beneath(root(), tree("none"), 100), ErrorCode::not_found);
}

TEST_F(BeneathTest, stat_tells_what_is_there) {
  make_file("a/file", "text");
  make_link("/nowhere", "a/link");
  make_link("a", "dir_link");
  EXPECT_EQ(find_stat_beneath(root(), tree("a/file")).value()->st_size, 4);
  EXPECT_TRUE(S_ISDIR(find_stat_beneath(root(), tree("a")).value()->st_mode));
  EXPECT_TRUE(S_ISDIR(find_stat_beneath(root(), TreePath()).value()->st_mode));
  EXPECT_TRUE(S_ISLNK(find_stat_beneath(root(), tree("a/link")).value()->st_mode));
  EXPECT_TRUE(S_ISLNK(find_stat_beneath(root(), tree("dir_link")).value()->st_mode));
  EXPECT_TRUE(S_ISLNK(find_stat_beneath(root(), tree("dir_link/link"), Follow::in_root).value()->st_mode));
  EXPECT_FALSE(find_stat_beneath(root(), tree("none")).value());
  EXPECT_FALSE(find_stat_beneath(root(), tree("none/below")).value());
  EXPECT_FALSE(find_stat_beneath(root(), tree("a/file/below")).value());
  EXPECT_CODE(find_stat_beneath(root(), tree("dir_link/link")), ErrorCode::invalid_argument);
  EXPECT_CODE(find_stat_beneath(-1, tree("a")), ErrorCode::io);
  EXPECT_CODE(find_stat_beneath(-1, tree("a/b")), ErrorCode::io);
}

TEST_F(BeneathTest, makes_directories_and_keeps_those_there_are) {
  const mode_t umask_before = ::umask(022);
  ASSERT_EQ(::mkdir(host("a").c_str(), 0700), 0);
  EXPECT_OK(make_dirs_beneath(root(), tree("a/b/c"), 0777));
  EXPECT_OK(make_dirs_beneath(root(), tree("a/b/c"), 0700));
  EXPECT_OK(make_dirs_beneath(root(), TreePath(), 0700));
  ::umask(umask_before);
  EXPECT_EQ(find_stat_beneath(root(), tree("a")).value()->st_mode & 07777, 0700u);
  EXPECT_EQ(find_stat_beneath(root(), tree("a/b/c")).value()->st_mode & 07777, 0755u);
}

TEST_F(BeneathTest, makes_no_directory_through_anything_else) {
  make_file("file");
  make_dirs("dir");
  make_link("dir", "link");
  make_link("nowhere", "dangling");
  EXPECT_CODE(make_dirs_beneath(root(), tree("file/below"), 0755), ErrorCode::already_exists);
  EXPECT_CODE(make_dirs_beneath(root(), tree("file"), 0755), ErrorCode::already_exists);
  EXPECT_CODE(make_dirs_beneath(root(), tree("link/below"), 0755), ErrorCode::already_exists);
  EXPECT_CODE(make_dirs_beneath(root(), tree("link"), 0755), ErrorCode::already_exists);
  EXPECT_CODE(make_dirs_beneath(root(), tree("dangling/below"), 0755), ErrorCode::already_exists);
  EXPECT_FALSE(exists("dir/below") || exists("nowhere"));
  EXPECT_CODE(make_dirs_beneath(-1, tree("a"), 0755), ErrorCode::io);
}

}  // namespace
}  // namespace cairn::base
