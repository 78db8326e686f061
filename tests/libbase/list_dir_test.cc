// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <sys/xattr.h>

#include "libbase/fs/beneath.h"
#include "tests/libbase/fs_fixture.h"
#include "tests/support/loop_fs.h"

namespace cairn::base {

static bool operator==(const DirEntry& a, const DirEntry& b) { return a.name == b.name && a.type == b.type; }
static void PrintTo(const DirEntry& entry, std::ostream* out) { *out << entry.name << ":" << int{entry.type}; }

namespace {

using testing::ElementsAre;
using testing::Pair;

class ListDirTest : public FsTest {};

TEST_F(ListDirTest, names_are_in_bytewise_order_with_their_types) {
  make_file("b");
  make_file("B");
  make_dirs("a");
  make_dirs("\xc3\xa4");
  make_link("b", "a-link");
  ASSERT_EQ(::mkfifo(host(".fifo").c_str(), 0600), 0);
  ASSERT_EQ(::mknod(host("a.device").c_str(), S_IFCHR | 0600, 0), 0);
  EXPECT_THAT(
      list_dir(root()).value(),
      ElementsAre(DirEntry{".fifo", DT_FIFO}, DirEntry{"B", DT_REG}, DirEntry{"a", DT_DIR}, DirEntry{"a-link", DT_LNK},
                  DirEntry{"a.device", DT_CHR}, DirEntry{"b", DT_REG}, DirEntry{"\xc3\xa4", DT_DIR}));
  EXPECT_EQ(list_dir(root()).value().size(), 7u) << "again, from the start";
  EXPECT_EQ(list_dir(open_host(temp_.path(), O_PATH).value().get()).value().size(), 7u);
}

TEST_F(ListDirTest, lists_more_than_one_buffer_holds) {
  with_memory_at("wide", [&](int wide) {
    for (int i = 3000; i-- > 0;) {
      ASSERT_EQ(::mknodat(wide, fmt::format("a_name_of_some_length_{:05}", i).c_str(), S_IFREG | 0600, 0), 0);
    }
    const auto entries = list_dir(wide).value();
    ASSERT_EQ(entries.size(), 3000u);
    for (int i = 0; i < 3000; ++i) {
      ASSERT_EQ(entries[static_cast<std::size_t>(i)].name, fmt::format("a_name_of_some_length_{:05}", i));
    }
  });
}

TEST_F(ListDirTest, tells_why_it_cannot) {
  make_file("file");
  EXPECT_CODE(list_dir(open_host(host("file"), O_RDONLY).value().get()), ErrorCode::not_found);
  EXPECT_CODE(list_dir(-1), ErrorCode::io);
}

class XattrTest : public FsTest {};

TEST_F(XattrTest, are_sorted_and_may_hold_any_bytes) {
  make_file("file");
  const std::string value("\0a\n\xff", 4);
  EXPECT_OK(set_xattr_at(root(), "file", "user.b", value));
  EXPECT_OK(set_xattr_at(root(), "file", "user.a", ""));
  EXPECT_OK(set_xattr_at(root(), "file", "trusted.c", std::string(2000, 'x')));
  EXPECT_OK(set_xattr_at(root(), "file", "user.a", "replaced"));
  const auto expected =
      ElementsAre(Pair("trusted.c", std::string(2000, 'x')), Pair("user.a", "replaced"), Pair("user.b", value));
  EXPECT_THAT(list_xattrs_at(root(), "file").value(), expected);
  EXPECT_THAT(list_xattrs(open_host(host("file"), O_RDONLY).value().get()).value(), expected);
  EXPECT_THAT(list_xattrs(open_host(host("file"), O_PATH).value().get()).value(), expected);
}

TEST_F(XattrTest, many_names_are_listed) {
  make_file("file");
  for (int i = 0; i < 20; ++i) {
    EXPECT_OK(set_xattr_at(root(), "file", fmt::format("user.a_name_that_is_rather_long_{:060}", i), "v"));
  }
  EXPECT_EQ(list_xattrs_at(root(), "file").value().size(), 20u);
}

TEST_F(XattrTest, of_a_link_itself_by_an_o_path_descriptor) {
  make_link("nowhere", "link");
  EXPECT_OK(set_xattr_at(root(), "link", "trusted.own", "1"));
  const Fd link = open_beneath(root(), tree("link"), O_PATH | O_NOFOLLOW).value();
  EXPECT_THAT(list_xattrs(link.get()).value(), ElementsAre(Pair("trusted.own", "1")));
}

TEST_F(XattrTest, a_file_system_without_them_has_none) {
  const Fd proc = open_host_dir(HostPath::parse("/proc/sys").value()).value();
  EXPECT_TRUE(list_xattrs(proc.get()).value().empty());
  make_file("file");
  EXPECT_TRUE(list_xattrs_at(root(), "file").value().empty());
}

TEST_F(XattrTest, tell_why_they_cannot) {
  make_file("file");
  make_link("file", "link");
  EXPECT_CODE(list_xattrs(-1), ErrorCode::io);
  EXPECT_CODE(list_xattrs_at(root(), "none"), ErrorCode::not_found);
  EXPECT_CODE(set_xattr_at(root(), "none", "user.a", "x"), ErrorCode::not_found);
  EXPECT_CODE(set_xattr_at(root(), "file", "unknown.namespace", "x"), ErrorCode::unavailable);
  EXPECT_CODE(set_xattr_at(root(), "link", "user.a", "x"), ErrorCode::io);  // user.* is for files and directories
}

using XattrDeathTest = XattrTest;
TEST_F(XattrDeathTest, names_are_one_component) {
  EXPECT_DEATH(static_cast<void>(list_xattrs_at(root(), "a/b")), "not one path component");
  EXPECT_DEATH(static_cast<void>(set_xattr_at(root(), "", "user.a", "x")), "not one path component");
}

// XFS lists each ACL twice: as it is, and in a form of its own that no other file system takes.
TEST_F(XattrTest, of_xfs_itself_are_left_out) {
  const test::LoopFs xfs(test::FileSystem::xfs);
  const Fd top = open_host_dir(xfs.path()).value();
  const std::string acl("\2\0\0\0\1\0\7\0\377\377\377\377\2\0\7\0\350\3\0\0\4\0\5\0\377\377\377\377"
                        "\20\0\7\0\377\377\377\377\40\0\5\0\377\377\377\377", 44);
  ASSERT_EQ(::mkdirat(top.get(), "d", 0755), 0);
  for (const char* key : {"system.posix_acl_access", "system.posix_acl_default"}) {
    EXPECT_OK(set_xattr_at(top.get(), "d", key, acl));
  }
  EXPECT_OK(set_xattr_at(top.get(), "d", "trusted.own", "1"));

  const Fd directory = open_host_dir(xfs / "d").value();
  std::string names(4096, '\0');
  const ssize_t size = ::flistxattr(directory.get(), names.data(), names.size());
  ASSERT_GT(size, 0);
  for (const char* raw : {"trusted.SGI_ACL_FILE", "trusted.SGI_ACL_DEFAULT"}) {
    EXPECT_THAT(names, testing::HasSubstr(raw)) << "else this test shows nothing";
  }
  const auto expected = ElementsAre(Pair("system.posix_acl_access", acl), Pair("system.posix_acl_default", acl),
                                    Pair("trusted.own", "1"));
  EXPECT_THAT(list_xattrs(directory.get()).value(), expected);
  EXPECT_THAT(list_xattrs_at(top.get(), "d").value(), expected);
}

}  // namespace
}  // namespace cairn::base
