// SPDX-License-Identifier: Apache-2.0
// What reading a tree from disk touches, and what happens if the tree is strange, huge, or changes meanwhile.
#include "libcache/trees/disk_tree.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::Fd;
using testing::ElementsAre;
using testing::HasSubstr;
using namespace std::string_literals;

Fd open_top(const TestTree& tree) { return base::open_host_dir(tree.top()).value(); }

void set_xattr(const std::string& path, const char* name, std::string_view value) {
  ASSERT_EQ(::lsetxattr(path.c_str(), name, value.data(), value.size(), 0), 0) << path << " " << name;
}

TEST(DiskTree, ASelectionReadsOnlyItsOwnFiles) {
  const TestTree tree({"a dir", "a/one file 12345", "a/two file 123", "a/empty file", "a/link symlink one", "b dir",
                       "b/big file 0123456789", "c file 1"});
  const auto counts_of = [&tree](const Selection& selection) {
    DigestCounts counts;
    EXPECT_TRUE(tree.digest(selection, DigestRules::scan, &counts));
    return std::vector<std::uint64_t>{counts.files_opened, counts.bytes_read};
  };
  EXPECT_THAT(counts_of(plain("a")), ElementsAre(2, 8)) << "an empty file is not opened";
  EXPECT_THAT(counts_of(plain("b/big")), ElementsAre(1, 10));
  EXPECT_THAT(counts_of(followed("a/link")), ElementsAre(1, 5));
  EXPECT_THAT(counts_of(plain("a/link")), ElementsAre(0, 0));
  EXPECT_THAT(counts_of(plain("/")), ElementsAre(4, 19));
  EXPECT_THAT(counts_of(wildcard("a/t*")), ElementsAre(1, 3));
  EXPECT_THAT(counts_of(including("/", {"b"})), ElementsAre(1, 10));
  EXPECT_THAT(counts_of(excluding("/", {"a", "b"})), ElementsAre(1, 1));
}

// The keys that a walk visits, as paths.
std::vector<std::string> visited(const TestTree& tree, std::string_view path, std::string_view skip = "none") {
  const Fd top = open_top(tree);
  DiskTree disk(top.get(), {});
  std::vector<std::string> paths;
  EXPECT_TRUE(disk.walk(path, [&](const RecordView& record) -> base::Result<Step> {
    paths.push_back(path_of(record.key));
    return paths.back() == skip ? Step::skip_below : Step::next;
  }));
  return paths;
}

TEST(DiskTree, WalksInKeyOrderAndOnlyBelowThePath) {
  const TestTree tree({"a dir", "a/z file", "a-b file", "a! file", "ab dir", "ab/c file"});
  EXPECT_THAT(visited(tree, ""), ElementsAre("", "/", "/a", "/a/", "/a/z", "/a!", "/a-b", "/ab", "/ab/", "/ab/c"));
  EXPECT_THAT(visited(tree, "/a"), ElementsAre("/a", "/a/", "/a/z"));
  EXPECT_THAT(visited(tree, "/ab/c"), ElementsAre("/ab/c"));
  EXPECT_THAT(visited(tree, "", "/a"), ElementsAre("", "/", "/a", "/a!", "/a-b", "/ab", "/ab/", "/ab/c"));
}

TEST(DiskTree, OwnerModeAndAttributesCount) {
  TestTree tree({"f file x"});
  const std::string path = tree.path("f");
  TreeEntry entry;
  entry.mode = 06755;
  entry.uid = 4'294'967'294;
  entry.gid = 7;
  entry.size = 1;
  ASSERT_EQ(::chown(path.c_str(), entry.uid, entry.gid), 0);
  ASSERT_EQ(::chmod(path.c_str(), entry.mode), 0);
  set_xattr(path, "user.b", "second");
  set_xattr(path, "user.a", "first"s + '\0');
  set_xattr(path, "trusted.t", "third");
  entry.xattrs = {{"user.a", "first"s + '\0'}, {"user.b", "second"}, {"trusted.t", "third"}};
  EntryHasher hasher(entry);
  hasher.update("x");
  EXPECT_EQ(shown(tree.digest(plain("f"))), hasher.finish().hex());
}

TEST(DiskTree, OfTheSecurityAttributesOnlyCapabilitiesCount) {
  TreeEntry entry;
  const TreeDigest bare = EntryHasher(entry).finish();
  entry.xattrs = {{"security.selinux", "x"}, {"system.posix_acl_access", "y"}};
  EXPECT_EQ(EntryHasher(entry).finish(), bare);
  entry.xattrs = {{"security.capability", "x"}};
  EXPECT_NE(EntryHasher(entry).finish(), bare);
}

TEST(DiskTree, StreamedTreesHaveDeviceNumbersAndNoTopHeader) {
  const TestTree tree({"d dir"});
  ASSERT_EQ(::mknod(tree.path("d/null").c_str(), S_IFCHR | 0600, makedev(1, 3)), 0);
  ASSERT_EQ(::chmod(tree.path("d/null").c_str(), 0644), 0);
  TreeEntry device;
  device.type = EntryType::char_device;
  device.mode = 0644;
  EXPECT_EQ(shown(tree.digest(plain("d/null"))), EntryHasher(device).finish().hex());
  device.device_major = 1;
  device.device_minor = 3;
  EXPECT_EQ(shown(tree.digest(plain("d/null"), DigestRules::stream)), EntryHasher(device).finish().hex());
  const std::string d = "sha256:" + shown(tree.digest(plain("d"), DigestRules::stream));
  EXPECT_EQ(shown(tree.digest(plain("/"), DigestRules::stream)), hash_of("\0sha256:"s + hash_of("") + "\0d"s + d));
}

TEST(DiskTree, StreamedTreesLackTheAttributesOfOneSystem) {
  // Linux stores no attribute with such a name, so the rule is seen on one that is kept by both.
  TestTree tree({"f file x"});
  set_xattr(tree.path("f"), "user.com.apple.quarantine", "x");
  EXPECT_EQ(shown(tree.digest(plain("f"))), shown(tree.digest(plain("f"), DigestRules::stream)));
}

TEST(DiskTree, APathDescriptorWillDo) {
  const TestTree tree({"a dir", "a/f file x"});
  const Fd top(::open(tree.top().c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  EXPECT_EQ(shown(tree_digest(top.get(), plain("/"), DigestRules::scan, nullptr)), shown(tree.digest(plain("/"))));
}

TEST(DiskTree, NeverLeavesTheTree) {
  const TestTree outside({"secret file outside"});
  TestTree tree({"out symlink " + outside.top().str(), "up symlink ../../../../../../etc", "d dir"});
  for (const char* path : {"out/secret", "up/passwd", "../../etc/passwd"}) {
    const auto digest = tree.digest(followed(path));
    ASSERT_FALSE(digest) << path;
    EXPECT_EQ(digest.error().code, ErrorCode::not_found);
  }
}

TEST(DiskTree, AThousandDirectoriesDeepWithFewDescriptors) {
  const TestTree tree({});
  std::string path, expected;
  for (int i = 0; i < 1'000; ++i) {
    path += "/d";
    ASSERT_EQ(::mkdir((tree.top().str() + path).c_str(), 0755), 0);
    ASSERT_EQ(::chmod((tree.top().str() + path).c_str(), 0755), 0);
    // A name behind each directory, so that the walk comes back to every level.
    ASSERT_EQ(::symlink("x", (tree.top().str() + path.substr(0, path.size() - 1) + "e").c_str()), 0);
  }
  const std::string link = "\0e"s + link_digest("x").str(), header = "\0"s + header_digest().str();
  expected = "sha256:" + hash_of(header);
  for (int i = 0; i < 1'000; ++i) expected = "sha256:" + hash_of(header + "\0d"s + expected + link);

  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit few{100, before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &few), 0);
  const auto digest = tree.digest(plain("/"));
  const auto deepest = tree.digest(including("/", {"**/nosuch"}));
  const auto by_path = tree.digest(plain(path));
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ("sha256:" + shown(digest), expected);
  EXPECT_EQ(shown(deepest), hash_of(""));
  EXPECT_EQ(shown(by_path), hash_of(header));
}

TEST(DiskTree, PathsLongerThanTheKernelTakes) {
  const TestTree tree({"f file x"});
  const std::string name(255, 'n');
  Fd here = open_top(tree);
  std::string path;
  for (int i = 0; i < 100; ++i) {
    ASSERT_EQ(::mkdirat(here.get(), name.c_str(), 0755), 0);
    here = Fd(::openat(here.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    ASSERT_EQ(::fchmod(here.get(), 0755), 0);
    path += "/" + name;
  }
  ASSERT_EQ(::symlinkat("/f", here.get(), "link"), 0);
  std::string expected = hash_of("\0"s + header_digest().str() + "\0link"s + link_digest("/f").str());
  EXPECT_EQ(shown(tree.digest(plain(path))), expected);
  for (int i = 1; i < 100; ++i) expected = hash_of("\0"s + header_digest().str() + "\0"s + name + "sha256:" + expected);
  EXPECT_EQ(shown(tree.digest(plain(name))), expected);
  EXPECT_EQ(shown(tree.digest(followed(path + "/link"))), file_digest("x").hex());
}

TEST(DiskTree, AHundredThousandNamesInOneDirectory) {
  const TestTree tree({"wide dir"});
  const Fd wide(::open(tree.path("wide").c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_EQ(::mkdirat(wide.get(), "0", 0755), 0);
  std::vector<std::string> names;
  for (int i = 100'000; i < 200'000; ++i) {
    names.push_back(std::to_string(i));
    ASSERT_EQ(::symlinkat("t", wide.get(), names.back().c_str()), 0);
  }
  const std::string link = link_digest("t").str();
  std::string preimage = "\0"s + header_digest().str() +
                         "\0"
                         "0"s +
                         "sha256:" + hash_of("\0"s + header_digest().str());
  for (const std::string& name : names) preimage += "\0"s + name + link;
  EXPECT_EQ(shown(tree.digest(plain("wide"))), hash_of(preimage));
}

TEST(DiskTree, ContentsOfManyChunks) {
  TestTree tree({});
  std::string content;
  for (int i = 0; content.size() < 300'001; ++i) content += std::to_string(i);
  tree.add("big file " + content);
  tree.add("exact file " + content.substr(0, 131'072));
  EXPECT_EQ(shown(tree.digest(plain("big"))), file_digest(content).hex());
  EXPECT_EQ(shown(tree.digest(plain("exact"))), file_digest(content.substr(0, 131'072)).hex());
}

TEST(DiskTree, AFileThatChangesWhileItIsReadIsAnErrorThatNamesIt) {
  TestTree tree({"still file x"});
  tree.add("growing file " + std::string(8 << 20, 'x'));
  std::atomic<bool> done = false, started = false;
  std::thread writer([&] {
    const Fd fd(::open(tree.path("growing").c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    const std::string more(4096, 'y');
    while (!done) {
      ASSERT_EQ(::write(fd.get(), more.data(), more.size()), 4096);
      started = true;
      // It must not grow faster than it is read.
      std::this_thread::sleep_for(std::chrono::microseconds(200));
    }
  });
  while (!started) std::this_thread::yield();
  const auto digest = tree.digest(plain("/"));
  done = true;
  writer.join();
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, ErrorCode::io);
  EXPECT_THAT(digest.error().message, HasSubstr("\"/growing\" changed"));
  EXPECT_NE(digest.error().hint, "");
}

// Walks the whole tree, asks for every digest, and does something to the tree when a path is reached.
base::Status walk_disturbed(const TestTree& tree, std::string_view at, const std::function<void()>& disturb) {
  const Fd top = open_top(tree);
  DiskTree disk(top.get(), {});
  return disk.walk("", [&](const RecordView& record) -> base::Result<Step> {
    if (path_of(record.key) == at) disturb();
    if (record.type != TreeRecordType::directory) TRY(record.digest());
    return Step::next;
  });
}

TEST(DiskTree, NamesThatVanishAreErrorsThatNameThem) {
  for (const std::string victim : {"file x", "file", "symlink x", "dir"}) {
    const TestTree tree({"a file 1", "victim " + victim});
    const auto status = walk_disturbed(tree, "/a", [&] { ASSERT_EQ(::remove(tree.path("victim").c_str()), 0); });
    ASSERT_FALSE(status) << victim;
    EXPECT_EQ(status.error().code, ErrorCode::io);
    EXPECT_THAT(status.error().message, HasSubstr("\"/victim\" vanished")) << victim;
    EXPECT_NE(status.error().hint, "");
  }
}

TEST(DiskTree, NamesThatBecomeSomethingElseAreErrors) {
  const TestTree outside({"f file x"});
  {
    TestTree tree({"a file 1", "victim dir"});
    const auto status = walk_disturbed(tree, "/a", [&] {
      ASSERT_EQ(::rmdir(tree.path("victim").c_str()), 0);
      tree.add("victim symlink " + outside.top().str());
    });
    ASSERT_FALSE(status) << "a directory replaced by a link is not followed";
    EXPECT_EQ(status.error().code, ErrorCode::io);
  }
  {
    TestTree tree({"a file 1", "victim file x"});
    const auto status = walk_disturbed(tree, "/a", [&] {
      ASSERT_EQ(::remove(tree.path("victim").c_str()), 0);
      tree.add("victim dir");
    });
    ASSERT_FALSE(status);
    EXPECT_THAT(status.error().message, HasSubstr("\"/victim\" changed"));
  }
}

TEST(DiskTree, ADirectoryThatMovesAwayWhileItIsNotOpenIsAnError) {
  TestTree tree({"a dir"});
  std::string path = "a";
  for (int i = 0; i < 80; ++i) {
    path += "/d";
    tree.add(path + " dir");
  }
  tree.add("a/e file x");
  const auto status = walk_disturbed(tree, "/" + path, [&] {
    ASSERT_EQ(::rename(tree.path("a").c_str(), tree.path("b").c_str()), 0);
    tree.add("a dir");
    tree.add("a/e file x");
  });
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::io);
  EXPECT_THAT(status.error().message, HasSubstr("changed"));
}

TEST(DiskTree, StopsWhenAsked) {
  const TestTree tree({"a file x"});
  const Fd top = open_top(tree);
  std::stop_source source;
  source.request_stop();
  const auto digest = tree_digest(top.get(), plain("/"), DigestRules::scan, nullptr, source.get_token());
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, ErrorCode::cancelled);
  const auto file = tree_digest(top.get(), plain("a"), DigestRules::scan, nullptr, source.get_token());
  ASSERT_FALSE(file);
  EXPECT_EQ(file.error().code, ErrorCode::cancelled);
}

TEST(DigestDirectory, ReadsADirectoryOfTheMachine) {
  const TestTree tree({"a file x"});
  DigestCounts counts;
  EXPECT_EQ(shown(digest_directory(tree.top(), plain("/"), &counts)), shown(tree.digest(plain("/"))));
  EXPECT_EQ(counts.files_opened, 1u);
  const auto missing = digest_directory(base::HostPath::parse(tree.path("nosuch")).value(), plain("/"), nullptr);
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, ErrorCode::not_found);
}

}  // namespace
}  // namespace cairn::cache
