// SPDX-License-Identifier: Apache-2.0
#include "libcache/streamed_tree.h"

#include <gtest/gtest.h>

#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using namespace std::string_literals;

TEST(StreamedTree, GoldenDigests) {
  StreamedTree tree;
  announce(tree, {"d0 dir", "d0/foo dir", "d0/foo/bar file data0", "d0/foo-subdir dir", "d0/foo.subdir file data1"});
  EXPECT_EQ(shown(tree.digest(plain("d0"))), "14276c302c940a80f82ca5477bf766c98a24702d6a9948ee71bb277cdad3ae05");
}

TEST(StreamedTree, AChangedHeaderKeepsWhatIsInTheDirectory) {
  StreamedTree tree;
  announce(tree, {"d0 dir", "d0/foo dir", "d0/foo/bar file data0", "d0/foo/subdir1 dir",
                  "d0/foo/subdir1/baz file data1", "d0/foo/subdir2 dir"});
  EXPECT_EQ(shown(tree.digest(plain("d0/foo"))), "e76717544f71725bd759a981554ca17c286b3d222598f46a671b983fd2b8172d");
  announce_directory(tree, "d0/foo", 0700);
  EXPECT_EQ(shown(tree.digest(plain("d0/foo"))), "3a729f6ba0d3d74c6ade7d118b08b46e37e447afdad7fc6e258dbba12fa80141");
}

TEST(StreamedTree, TheTopHasTheHeaderOfNothing) {
  StreamedTree tree;
  EXPECT_EQ(shown(tree.digest(plain("/"))), hash_of("\0"s + "sha256:" + hash_of("")));
  announce(tree, {"a file x"});
  EXPECT_EQ(shown(tree.digest(plain("/"))), hash_of("\0sha256:"s + hash_of("") + "\0a"s + file_digest("x").str()));
  announce_directory(tree, "/", 0700);
  EXPECT_EQ(shown(tree.digest(plain("/"))), hash_of("\0sha256:"s + hash_of("") + "\0a"s + file_digest("x").str()));
}

TEST(StreamedTree, RemovingADirectoryTakesAlongWhatWasInIt) {
  StreamedTree tree;
  announce(tree, {"a file x", "d dir", "d/e dir", "d/e/f file y"});
  const std::string full = shown(tree.digest(plain("/")));
  tree.remove("d");
  tree.remove("d/e");  // clients name what was in it, too
  tree.remove("nosuch");
  StreamedTree less;
  announce(less, {"a file x"});
  EXPECT_EQ(shown(tree.digest(plain("/"))), shown(less.digest(plain("/"))));
  EXPECT_FALSE(tree.digest(plain("d/e/f")));
  announce(tree, {"d dir", "d/e dir", "d/e/f file y"});
  EXPECT_EQ(shown(tree.digest(plain("/"))), full);
}

TEST(StreamedTree, ADirectoryThatBecomesAFileLosesWhatWasInIt) {
  StreamedTree tree;
  announce(tree, {"d dir", "d/a file x", "d/e dir", "d/e/b file y"});
  ASSERT_TRUE(tree.digest(plain("d/e/b")));
  announce(tree, {"d file z"});
  EXPECT_EQ(shown(tree.digest(plain("d"))), file_digest("z").hex());
  for (const char* path : {"d/a", "d/e", "d/e/b"}) {
    const auto digest = tree.digest(plain(path));
    ASSERT_FALSE(digest);
    EXPECT_EQ(digest.error().code, ErrorCode::not_found);
  }
}

TEST(StreamedTree, OtherNamesTakeTheDigestOfTheFile) {
  StreamedTree tree;
  announce(tree, {"d dir", "d/late hardlink /f", "f file one", "early hardlink f"});
  for (const char* path : {"d/late", "early"}) EXPECT_EQ(shown(tree.digest(plain(path))), file_digest("one").hex());
  announce(tree, {"f file two"});
  EXPECT_EQ(shown(tree.digest(plain("early"))), file_digest("two").hex()) << "linked since the file was last sent";
  EXPECT_EQ(shown(tree.digest(plain("d/late"))), file_digest("one").hex()) << "has been handed its digest already";
  announce(tree, {"f file three"});
  EXPECT_EQ(shown(tree.digest(plain("early"))), file_digest("two").hex());
}

TEST(StreamedTree, AnotherNameOfAFileThatNeverComesKeepsItsOwnDigest) {
  StreamedTree tree;
  announce(tree, {"alone hardlink nosuch"});
  EXPECT_EQ(shown(tree.digest(plain("alone"))), file_digest("").hex());
}

TEST(StreamedTree, NamesWithoutTheirDirectoryAreStillFound) {
  StreamedTree tree;
  announce(tree, {"x/y/z file 1"});
  EXPECT_TRUE(tree.digest(plain("x/y/z")));
  EXPECT_FALSE(tree.digest(plain("x/y")));
  EXPECT_EQ(shown(tree.digest(plain("/"))),
            hash_of("\0sha256:"s + hash_of("") + "\0x\0y\0z"s + file_digest("1").str()));
}

// What BuildKit does with changes that contradict each other; no client sends them.
TEST(StreamedTree, ChangesOfOneBatchSurviveTheRemovalOfTheirDirectory) {
  StreamedTree tree;
  announce(tree, {"d dir", "d/a file x"});
  tree.remove("d");
  EXPECT_TRUE(tree.digest(plain("d/a")));
  EXPECT_FALSE(tree.digest(plain("d")));
}

TEST(StreamedTree, AFileWithChangesBelowItHasNoDigest) {
  StreamedTree tree;
  announce(tree, {"d file x", "d/a file y"});
  const auto digest = tree.digest(plain("d"));
  ASSERT_FALSE(digest);
  EXPECT_EQ(digest.error().code, ErrorCode::not_found);
}

TEST(StreamedTree, LinksAreFollowedAndFiltersWork) {
  StreamedTree tree;
  announce(tree, {"a dir", "a/f file data0", "l symlink a", "self symlink self"});
  EXPECT_EQ(shown(tree.digest(plain("l/f"))), file_digest("data0").hex());
  EXPECT_EQ(shown(tree.digest(followed("l"))), shown(tree.digest(plain("a"))));
  EXPECT_FALSE(tree.digest(followed("self")));
  EXPECT_EQ(shown(tree.digest(wildcard("l/*"))), hash_of("\0f"s + file_digest("data0").str()));
  EXPECT_EQ(shown(tree.digest(excluding("/", {"l", "self"}))),
            hash_of("\0a"s + header_digest().str() + "\0a\0f"s + file_digest("data0").str()));
}

TEST(StreamedTree, AgreesWithTheDiskBelowTheTop) {
  const std::vector<std::string> lines = {"s dir",
                                          "s/a dir",
                                          "s/a/z file 1",
                                          "s/a-b file 2",
                                          "s/a.b file 3",
                                          "s/ab dir",
                                          "s/ab/c symlink ../a",
                                          "s/\xff dir",
                                          "s/\xff/\xffx file 4"};
  const TestTree disk(lines);
  StreamedTree streamed;
  announce(streamed, lines);
  for (const Selection& selection : {plain("s"), plain("s/a"), excluding("s", {"a"}), wildcard("s/a*"), plain("/")}) {
    EXPECT_EQ(shown(disk.digest(selection, DigestRules::stream)), shown(streamed.digest(selection))) << selection.path;
  }
}

}  // namespace
}  // namespace cairn::cache
