// SPDX-License-Identifier: Apache-2.0
// What scan_local and copy_local say and make of one directory.
#include "libsolver/sources/local_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <unistd.h>

#include "libbase/fs/beneath.h"
#include "libcache/streamed_tree.h"
#include "libcache/tree_digest.h"
#include "tests/libsolver_sources/tree_on_disk.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;

struct LocalDirTest : testing::Test {
  base::Result<LocalScan> scan(const LocalFilter& filter = {}) {
    const auto fd = base::open_host_dir(source.root());
    return scan_local(fd->get(), filter);
  }
  base::Result<LocalScan> copy(const LocalFilter& filter = {}, std::stop_token stop = {},
                               const LocalProgress& progress = {}) {
    const auto fd = base::open_host_dir(source.root());
    return copy_local(fd->get(), filter, test::as_tree(target.root()), std::move(stop), progress);
  }
  LocalScan must_copy(const LocalFilter& filter = {}) {
    const auto copied = copy(filter);
    EXPECT_TRUE(copied) << copied.error().message;
    return copied.value_or(LocalScan{});
  }
  struct ::stat stat_of(std::string_view name) {
    struct ::stat facts {};
    EXPECT_EQ(::lstat((target.root() / name).c_str(), &facts), 0) << name;
    return facts;
  }
  test::TempDir temporary;
  test::TreeOnDisk source{temporary / "source"};
  test::TreeOnDisk target{temporary / "target"};
};

TEST_F(LocalDirTest, TheDigestOfNothingIsThatOfAnEmptyTree) {
  cache::StreamedTree nothing;
  EXPECT_EQ(scan()->digest, nothing.digest({}).value());
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(copied.entries, 0u);
}

// spec/storage 3.9, "stream: d0": golden digests of BuildKit for a streamed directory.
TEST_F(LocalDirTest, DirectoriesHaveTheDigestsOfBuildKit) {
  source.file("d0/foo/bar", "data0");
  source.dir("d0/foo-subdir");
  source.file("d0/foo.subdir", "data1");
  must_copy();
  cache::Selection only_d0;
  only_d0.path = "/d0";
  const auto d0 = cache::tree_digest(test::as_tree(target.root()).fd(), only_d0, cache::DigestRules::stream, nullptr);
  EXPECT_EQ(d0->str(), "sha256:14276c302c940a80f82ca5477bf766c98a24702d6a9948ee71bb277cdad3ae05");
}

TEST_F(LocalDirTest, CountsAreOfWhatIsSelected) {
  source.file("a/one", "12345");
  source.file("a/two", "123");
  source.hard_link("b/link", "a/one");
  source.symlink("s", "a");
  for (const auto& result : {scan(), copy()}) {
    ASSERT_TRUE(result) << result.error().message;
    EXPECT_EQ(result->entries, 6u);
    EXPECT_EQ(result->files, 3u);
    EXPECT_EQ(result->bytes, 8u);
    EXPECT_THAT(result->warnings, ElementsAre());
  }
  const auto part = scan({.include_patterns = {}, .exclude_patterns = {"a"}, .follow_paths = {}});
  EXPECT_EQ(part->entries, 3u);
  EXPECT_EQ(part->bytes, 5u);
}

TEST_F(LocalDirTest, EverythingATreeCanHoldArrivesOwnedByRoot) {
  source.dir("dir", 01777);
  source.file("dir/file", "content", 04755);
  source.file("read-only", "x", 0400);
  source.symlink("link", "dir/../nowhere");
  source.hard_link("second", "dir/file");
  source.node("fifo", S_IFIFO | 0620);
  source.node("char", S_IFCHR | 0600, makedev(1, 3));
  source.node("block", S_IFBLK | 0660, makedev(7, 300));
  source.xattr("dir/file", "user.note", "hello");
  source.xattr("dir", "user.d", "on a directory");
  source.xattr("link", "trusted.t", "on a link");
  for (const char* name : {"dir", "dir/file", "link", "fifo", "char"}) source.owner(name, 1000, 1001);
  ASSERT_EQ(::chmod((source.root() / "dir/file").c_str(), 04755), 0);  // chown took the set-uid bit
  source.modified("read-only", {1234567890, 123456789});
  source.modified("link", {1, 2});
  source.modified("dir", {5, 7});

  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, scan()->digest);
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  auto expected = test::describe_tree(source.root(), test::Times::show);
  for (auto& [name, text] : expected) {
    if (const auto at = text.find(" 1000:1001"); at != std::string::npos) text.replace(at, 10, " 0:0");
  }
  EXPECT_EQ(test::describe_tree(target.root(), test::Times::show), expected);
  const auto link_xattrs = base::list_xattrs_at(test::as_tree(target.root()).fd(), "link");
  EXPECT_EQ(link_xattrs->at("trusted.t"), "on a link");
  EXPECT_EQ(stat_of("").st_mode & 07777, 0755u);
}

TEST_F(LocalDirTest, OwnersAndTimesDoNotChangeTheDigest) {
  source.file("a/file", "x");
  const TreeDigest before = scan()->digest;
  source.owner("a/file", 7, 8);
  source.owner("a", 9, 10);
  source.modified("a/file", {1, 1});
  EXPECT_EQ(scan()->digest, before);
  ASSERT_EQ(::chmod((source.root() / "a/file").c_str(), 0600), 0);
  EXPECT_NE(scan()->digest, before);
}

TEST_F(LocalDirTest, ASocketBecomesAnEmptyFileAndIsMentioned) {
  source.node("dir/socket", S_IFSOCK | 0640);
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, scan()->digest);
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  EXPECT_TRUE(S_ISREG(stat_of("dir/socket").st_mode));
  EXPECT_EQ(stat_of("dir/socket").st_mode & 07777, 0640u);
  EXPECT_EQ(stat_of("dir/socket").st_size, 0);
  EXPECT_THAT(copied.warnings, ElementsAre(HasSubstr("dir/socket is a socket")));
}

TEST_F(LocalDirTest, XattrsOfOthersStayBehind) {
  source.file("file", "x");
  const TreeDigest plain = scan()->digest;
  source.xattr("file", "trusted.overlay.opaque", "y");
  EXPECT_EQ(scan()->digest, plain);
  EXPECT_EQ(must_copy().digest, plain);
  EXPECT_TRUE(base::list_xattrs_at(test::as_tree(target.root()).fd(), "file")->empty());
  source.xattr("file", "user.mine", "1");
  EXPECT_NE(scan()->digest, plain);
}

TEST_F(LocalDirTest, CapabilitiesSurvive) {
  const std::string capability("\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00", 20);
  source.file("ping", "program", 0755);
  source.xattr("ping", "security.capability", capability);
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(base::list_xattrs_at(test::as_tree(target.root()).fd(), "ping")->at("security.capability"), capability);
}

TEST_F(LocalDirTest, DefaultAclsAndReadOnlyModesOfDirectoriesDoNotReachWhatIsInside) {
  // A default ACL "user::rwx,group::r-x,other::---", as the kernel stores it.
  const std::string acl(
      "\x02\x00\x00\x00\x01\x00\x07\x00\xff\xff\xff\xff\x04\x00\x05\x00\xff\xff\xff\xff\x20\x00\x00\x00\xff\xff\xff"
      "\xff",
      28);
  source.file("dir/open", "x", 0666);
  source.dir("dir/inner", 0777);
  source.xattr("dir", "system.posix_acl_default", acl);
  source.dir("dir", 0555);
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(stat_of("dir/open").st_mode & 0777, 0666u);
  EXPECT_EQ(stat_of("dir/inner").st_mode & 0777, 0777u);
  EXPECT_EQ(base::list_xattrs_at(test::as_tree(target.root()).fd(), "dir")->at("system.posix_acl_default"), acl);
}

TEST_F(LocalDirTest, HolesStayHoles) {
  const base::HostPath sparse = source.root() / "sparse";
  source.file("sparse", "start");
  ASSERT_EQ(::truncate(sparse.c_str(), 64 << 20), 0);
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
  EXPECT_EQ(stat_of("sparse").st_size, 64 << 20);
  EXPECT_LT(stat_of("sparse").st_blocks * 512, 1 << 20);
}

TEST_F(LocalDirTest, DeepTreesNeedFewDescriptors) {
  source.deep(300);
  const test::FewDescriptors few;
  const LocalScan copied = must_copy();
  EXPECT_EQ(copied.entries, 301u);
  EXPECT_EQ(copied.digest, scan()->digest);
  EXPECT_EQ(copied.digest, test::stream_digest_of(target.root()));
}

TEST_F(LocalDirTest, ProgressEndsAtTheTotal) {
  source.file("big", std::string(5 << 20, 'x'));
  source.file("small", "y");
  std::vector<std::pair<std::uint64_t, std::uint64_t>> seen;
  ASSERT_TRUE(copy({}, {}, [&](std::uint64_t done, std::uint64_t total) { seen.emplace_back(done, total); }));
  ASSERT_GE(seen.size(), 5u);
  for (std::size_t i = 0; i < seen.size(); ++i) {
    EXPECT_EQ(seen[i].second, (5u << 20) + 1);
    EXPECT_GE(seen[i].first, i == 0 ? 0 : seen[i - 1].first);
  }
  EXPECT_EQ(seen.back().first, seen.back().second);
}

TEST_F(LocalDirTest, AStopRequestEndsIt) {
  source.file("file", "x");
  std::stop_source stop;
  stop.request_stop();
  EXPECT_EQ(copy({}, stop.get_token()).error().code, ErrorCode::cancelled);

  source.file("big", std::string(8 << 20, 'x'));
  std::stop_source later;
  const auto copied = copy({}, later.get_token(), [&](std::uint64_t, std::uint64_t) { later.request_stop(); });
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::cancelled);
}

TEST_F(LocalDirTest, AFullDiskNamesTheFile) {
  source.file("dir/fits", "x");
  source.file("dir/too-big", std::string(4 << 20, 'x'));
  ASSERT_EQ(::mount("tmpfs", target.root().c_str(), "tmpfs", 0, "size=1m,mode=755"), 0);
  const auto copied = copy();
  ASSERT_EQ(::umount2(target.root().c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::no_space);
  EXPECT_THAT(copied.error().message, HasSubstr("dir/too-big"));
}

TEST_F(LocalDirTest, AnXattrThatCannotBeKeptIsAnError) {
  source.file("file", "x");
  source.xattr("file", "user.note", "hello");
  // procfs would do too, but ramfs has no user xattrs and can be written.
  ASSERT_EQ(::mount("ramfs", target.root().c_str(), "ramfs", 0, "mode=755"), 0);
  const auto copied = copy();
  ASSERT_EQ(::umount2(target.root().c_str(), MNT_DETACH), 0);
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::unavailable);
  EXPECT_THAT(copied.error().message, HasSubstr("file: xattr user.note"));
}

TEST_F(LocalDirTest, ATreeThatIsNotEmptyIsNotOverwritten) {
  source.file("file", "new");
  target.file("file", "old");
  const auto copied = copy();
  ASSERT_FALSE(copied);
  EXPECT_EQ(copied.error().code, ErrorCode::already_exists);
  EXPECT_EQ(base::read_file(target.root() / "file", 10).value(), "old");
}

}  // namespace
}  // namespace cairn::solver
