// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/beneath.h"
#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class RemoveAllTest : public FsTest {};

TEST_F(RemoveAllTest, removes_everything_of_every_kind) {
  for (int i = 0; i < 200; ++i) make_file(fmt::format("tree/{}/{}/file{}", i % 3, i % 7, i));
  make_dirs("tree/empty");
  make_link("nowhere", "tree/dangling");
  make_link("/", "tree/0/root");
  ASSERT_EQ(::mkfifo(host("tree/fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(host("tree/device").c_str(), S_IFCHR | 0600, 0), 0);
  ASSERT_EQ(::link(host("tree/0/0/file0").c_str(), host("kept").c_str()), 0);
  ASSERT_EQ(::chmod(host("tree/1").c_str(), 0), 0);
  EXPECT_OK(remove_all_beneath(root(), tree("tree")));
  EXPECT_FALSE(exists("tree"));
  EXPECT_EQ(contents("kept"), "bytes");
}

TEST_F(RemoveAllTest, removes_single_files_and_links) {
  make_file("a/file");
  make_link("file", "a/link");
  EXPECT_OK(remove_all_beneath(root(), tree("a/link")));
  EXPECT_TRUE(exists("a/file"));
  EXPECT_OK(remove_all_beneath(root(), tree("a/file")));
  EXPECT_FALSE(exists("a/file") || exists("a/link"));
  EXPECT_TRUE(exists("a"));
}

TEST_F(RemoveAllTest, nothing_there_is_success) {
  make_file("file");
  EXPECT_OK(remove_all_beneath(root(), tree("none")));
  EXPECT_OK(remove_all_beneath(root(), tree("none/below")));
  EXPECT_OK(remove_all_beneath(root(), tree("file/below")));
}

TEST_F(RemoveAllTest, removes_wide_directories) {
  with_memory_at("memory", [&](int memory) {
    make_dirs("memory/wide");
    const Fd wide = open_beneath(memory, tree("wide"), O_RDONLY | O_DIRECTORY).value();
    for (int i = 0; i < 20'000; ++i) {
      ASSERT_EQ(::mknodat(wide.get(), fmt::format("a_rather_long_name_{}", i).c_str(), S_IFREG | 0600, 0), 0);
    }
    EXPECT_OK(remove_all_beneath(memory, tree("wide")));
    EXPECT_FALSE(exists("memory/wide"));
  });
}

TEST_F(RemoveAllTest, never_enters_a_mount) {
  make_file("elsewhere/kept");
  make_dirs("tree/a/bind");
  make_dirs("tree/a/tmpfs");
  with_own_mounts([&] {
    // A bind of the same file system has the same device number: only the mount tells.
    ASSERT_EQ(::mount(host("elsewhere").c_str(), host("tree/a/bind").c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_CODE(remove_all_beneath(root(), tree("tree")), ErrorCode::busy);
    EXPECT_CODE(remove_all_beneath(root(), tree("tree/a/bind")), ErrorCode::busy);
    EXPECT_TRUE(exists("elsewhere/kept"));
    ASSERT_EQ(::umount(host("tree/a/bind").c_str()), 0);
    make_dirs("tree/a/tmpfs");
    ASSERT_EQ(::mount("tmpfs", host("tree/a/tmpfs").c_str(), "tmpfs", 0, nullptr), 0);
    make_file("tree/a/tmpfs/kept");
    EXPECT_CODE(remove_all_beneath(root(), tree("tree")), ErrorCode::busy);
    EXPECT_TRUE(exists("tree/a/tmpfs/kept"));
    ASSERT_EQ(::umount(host("tree/a/tmpfs").c_str()), 0);
    EXPECT_OK(remove_all_beneath(root(), tree("tree")));
  });
  EXPECT_FALSE(exists("tree"));
}

TEST_F(RemoveAllTest, a_mounted_file_is_busy) {
  make_file("elsewhere", "kept");
  make_file("tree/file");
  with_own_mounts([&] {
    ASSERT_EQ(::mount(host("elsewhere").c_str(), host("tree/file").c_str(), nullptr, MS_BIND, nullptr), 0);
    EXPECT_CODE(remove_all_beneath(root(), tree("tree")), ErrorCode::busy);
    EXPECT_CODE(remove_all_beneath(root(), tree("tree/file")), ErrorCode::busy);
  });
  EXPECT_EQ(contents("elsewhere"), "kept");
}

TEST_F(RemoveAllTest, what_cannot_be_removed_is_named) {
  make_file("tree/a/file");
  with_own_mounts([&] {
    ASSERT_EQ(::mount(host("tree").c_str(), host("tree").c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount(nullptr, host("tree").c_str(), nullptr, MS_REMOUNT | MS_BIND | MS_RDONLY, nullptr), 0);
    const Fd read_only = open_host_dir(host("tree")).value();
    const Status removed = remove_all_beneath(read_only.get(), tree("a"));
    EXPECT_CODE(removed, ErrorCode::io);
    EXPECT_THAT(removed.error().message, testing::HasSubstr("\"a\""));
  });
  EXPECT_TRUE(exists("tree/a/file"));
}

TEST_F(RemoveAllTest, tells_why_it_cannot_begin) {
  make_dirs("dir/below");
  make_link("dir", "link");
  EXPECT_CODE(remove_all_beneath(root(), tree("link/below")), ErrorCode::invalid_argument);
  EXPECT_CODE(remove_all_beneath(-1, tree("dir")), ErrorCode::io);
  EXPECT_TRUE(exists("dir/below"));
}

using RemoveAllDeathTest = RemoveAllTest;
TEST_F(RemoveAllDeathTest, the_root_is_not_removed) {
  EXPECT_DEATH(static_cast<void>(remove_all_beneath(root(), TreePath())), "not removed beneath itself");
}

}  // namespace
}  // namespace cairn::base
