// SPDX-License-Identifier: Apache-2.0
// What copying makes of what (spec/solver 1.1: FileActionCopy; semantics of the copy that BuildKit does).
#include <sys/sysmacros.h>
#include <unistd.h>

#include "tests/libsolver_files/two_trees.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class CopyTest : public TwoTrees {};

ErrorCode code_of(const base::Status& status) { return status ? ErrorCode::cancelled : status.error().code; }

TEST_F(CopyTest, EverythingAFileHasComesAlong) {
  from.file("d/file", "content", 04755);
  from.owner("d/file", 10, 20);
  from.file("d/file", "content", 04755);
  from.xattr("d/file", "user.note", "kept");
  from.hard_link("d/sub/other", "d/file");
  from.symlink("d/link", "../anywhere");
  from.owner("d/link", 30, 40);
  from.node("d/fifo", S_IFIFO | 0600);
  from.node("d/null", S_IFCHR | 0666, makedev(1, 3));
  from.dir("d/empty", 01777);
  from.modified("d/file", {1111, 222});
  from.modified("d/link", {3, 4});
  from.modified("d/sub", {5, 6});
  from.modified("d", {7, 8});
  ASSERT_OK(copy("/d", "/d"));
  EXPECT_EQ(test::describe_tree(to.root(), test::Times::show), test::describe_tree(from.root(), test::Times::show));
  EXPECT_EQ(stat_of("d/file").st_ino, stat_of("d/sub/other").st_ino);
}

TEST_F(CopyTest, HolesStayHoles) {
  from.file("sparse", "x");
  ASSERT_EQ(::truncate((from.root() / "sparse").c_str(), 64 << 20), 0);
  ASSERT_OK(copy("/sparse", "/"));
  EXPECT_EQ(stat_of("sparse").st_size, 64 << 20);
  EXPECT_LT(stat_of("sparse").st_blocks, 1024);
}

TEST_F(CopyTest, ASocketBecomesAnEmptyFile) {
  from.node("socket", S_IFSOCK | 0640);
  ASSERT_OK(copy("/socket", "/socket"));
  EXPECT_EQ(stat_of("socket").st_mode, S_IFREG | 0640u);
}

TEST_F(CopyTest, WhereAFileGoes) {
  from.file("a", "a");
  to.dir("dir");
  EXPECT_OK(copy("/a", "/plain"));
  EXPECT_OK(copy("/a", "/dir"));
  EXPECT_OK(copy("/a", "/"));
  EXPECT_THAT(names(), ElementsAre("a", "dir", "dir/a", "plain"));
  EXPECT_EQ(code_of(copy("/a", "/no/file")), ErrorCode::not_found);
  auto made = copy_of("/a", "/new/");
  made.create_dest_path = true;
  EXPECT_OK(copy(made));
  made.dest = "/x/y/z";
  EXPECT_OK(copy(made));
  EXPECT_EQ(content("new/a"), "a");
  EXPECT_EQ(content("x/y/z"), "a");
}

TEST_F(CopyTest, WhereADirectoryGoes) {
  from.file("src/file", "x");
  to.dir("there");
  EXPECT_OK(copy("/src", "/there"));
  EXPECT_OK(copy("/src", "/new"));
  EXPECT_OK(copy("/src/.", "/there"));
  EXPECT_THAT(names(), ElementsAre("new", "new/file", "there", "there/file", "there/src", "there/src/file"));
  auto contents = copy_of("/src", "/into");
  contents.dir_copy_contents = true;
  EXPECT_OK(copy(contents));
  contents.dest = "/";
  EXPECT_OK(copy(contents));
  EXPECT_TRUE(names().contains("into/file"));
  EXPECT_TRUE(names().contains("file"));
}

TEST_F(CopyTest, TheWholeTreeOverTheWholeTree) {
  from.file("a/b", "new");
  to.file("a/b", "old");
  to.file("a/kept", "kept");
  EXPECT_OK(copy("/", "/"));
  EXPECT_THAT(names(), ElementsAre("a", "a/b", "a/kept"));
  EXPECT_EQ(content("a/b"), "new");
}

TEST_F(CopyTest, DirectoriesThatAreThereGetTheMetadataOfTheSource) {
  from.dir("src/sub", 0711);
  from.owner("src/sub", 5, 6);
  from.dir("src/sub", 0711);
  from.modified("src/sub", {100, 0});
  from.dir("src", 0700);
  to.dir("src/sub", 0755);
  to.dir("src", 0755);
  auto contents = copy_of("/src", "/src");
  contents.dir_copy_contents = true;
  ASSERT_OK(copy(contents));
  EXPECT_EQ(mode_of("src/sub"), 0711u);
  EXPECT_EQ(stat_of("src/sub").st_uid, 5u);
  EXPECT_EQ(stat_of("src/sub").st_mtim.tv_sec, 100);
  EXPECT_EQ(mode_of("src"), 0755u) << "but not the one that was named";
}

TEST_F(CopyTest, WhatIsInTheWay) {
  from.file("file", "new");
  from.dir("dir");
  to.symlink("file", "elsewhere");
  to.file("dir", "a file");
  EXPECT_OK(copy("/file", "/elsewhere-not"));
  auto over = copy_of("/", "/");
  EXPECT_EQ(code_of(copy(over)), ErrorCode::already_exists);
  EXPECT_EQ(content("dir"), "a file");
  over.always_replace_existing = true;
  EXPECT_OK(copy(over));
  EXPECT_EQ(stat_of("file").st_mode & S_IFMT, mode_t{S_IFREG});
  EXPECT_TRUE(S_ISDIR(stat_of("dir").st_mode));
}

TEST_F(CopyTest, AFileReplacesALinkAndNoDirectory) {
  from.file("src/x", "new");
  to.symlink("dst/x", "/secret");
  to.file("secret", "kept");
  auto contents = copy_of("/src", "/dst");
  contents.dir_copy_contents = true;
  ASSERT_OK(copy(contents));
  EXPECT_EQ(content("secret"), "kept");
  EXPECT_EQ(content("dst/x"), "new");
  to.dir("other/x");
  contents.dest = "/other";
  EXPECT_EQ(code_of(copy(contents)), ErrorCode::already_exists);
  contents.always_replace_existing = true;
  EXPECT_OK(copy(contents));
  EXPECT_EQ(content("other/x"), "new");
}

TEST_F(CopyTest, LinksAreCopiedOrFollowed) {
  from.file("real/file", "x");
  from.symlink("link", "real");
  EXPECT_OK(copy("/link", "/as-link"));
  EXPECT_TRUE(S_ISLNK(stat_of("as-link").st_mode));
  EXPECT_OK(copy("/link/file", "/through"));  // on the way they are always followed
  auto followed = copy_of("/link", "/followed");
  followed.follow_symlink = true;
  EXPECT_OK(copy(followed));
  EXPECT_EQ(content("followed/file"), "x");
}

TEST_F(CopyTest, PatternsInTheSource) {
  for (const char* path : {"a.c", "b.c", "c.h", "sub/d.c", "e.c/inner"}) from.file(path, path);
  auto wild = copy_of("/*.c", "/out/");
  wild.allow_wildcard = true;
  wild.create_dest_path = true;
  ASSERT_OK(copy(wild));
  EXPECT_THAT(names(), ElementsAre("out", "out/a.c", "out/b.c", "out/e.c", "out/e.c/inner"));
  wild.src = "/none*";
  EXPECT_EQ(code_of(copy(wild)), ErrorCode::not_found);
  wild.allow_empty_wildcard = true;
  EXPECT_OK(copy(wild));
  wild.src = "/sub/[a-z].c";
  wild.dest = "/two/";
  ASSERT_OK(copy(wild));
  EXPECT_EQ(content("two/d.c"), "sub/d.c");
}

TEST_F(CopyTest, APatternIsANameUnlessItIsAllowed) {
  from.file("*.c", "star");
  from.file("a.c", "a");
  ASSERT_OK(copy("/*.c", "/"));
  EXPECT_THAT(names(), ElementsAre("*.c"));
}

TEST_F(CopyTest, IncludesAndExcludesMakeOnlyWhatTheyNeed) {
  for (const char* path : {"a/b/foo", "a/b/bar", "a/c/other", "d/foo", "foo"}) from.file(path, path);
  from.dir("a", 0711);
  from.dir("a/b", 0700);
  from.modified("a/b", {50, 0});
  auto some = copy_of("/", "/");
  some.include_patterns = {"**/foo"};
  ASSERT_OK(copy(some));
  EXPECT_THAT(names(), ElementsAre("a", "a/b", "a/b/foo", "d", "d/foo", "foo"));
  EXPECT_EQ(mode_of("a"), 0711u);
  EXPECT_EQ(mode_of("a/b"), 0700u);
  EXPECT_EQ(stat_of("a/b").st_mtim.tv_sec, 50);

  auto others = copy_of("/", "/others");
  others.dir_copy_contents = true;
  others.exclude_patterns = {"a/b", "!a/b/bar", "d"};
  ASSERT_OK(copy(others));
  EXPECT_TRUE(names().contains("others/a/b/bar"));
  EXPECT_TRUE(names().contains("others/a/c/other"));
  EXPECT_FALSE(names().contains("others/a/b/foo"));
  EXPECT_FALSE(names().contains("others/d"));

  auto bad = copy_of("/", "/");
  bad.include_patterns = {"["};
  EXPECT_EQ(code_of(copy(bad)), ErrorCode::invalid_argument);
}

TEST_F(CopyTest, OwnerModeAndTimeCountForAllThatIsMade) {
  from.file("src/file", "x", 0600);
  from.dir("src/sub", 0700);
  auto given = copy_of("/src", "/new/dir");
  given.create_dest_path = true;
  given.mode = 02775;
  given.timestamp = 1'000'000'000'000'000'000;
  ASSERT_OK(copy(given, {.owner = Ownership{11, 12}}));
  for (const char* path : {"new", "new/dir", "new/dir/file", "new/dir/sub"}) {
    EXPECT_EQ(stat_of(path).st_uid, 11u) << path;
    EXPECT_EQ(stat_of(path).st_gid, 12u) << path;
    EXPECT_EQ(stat_of(path).st_mtim.tv_sec, 1'000'000'000) << path;
    EXPECT_EQ(mode_of(path), path == std::string("new") ? 0775u : 02775u) << path;
  }
}

TEST_F(CopyTest, ModesInWordsChangeEachMode) {
  from.file("src/tool", "x", 0755);
  from.file("src/text", "x", 0600);
  auto given = copy_of("/src", "/src");
  given.mode = -1;
  given.mode_str = "u=rwX,go=rX";
  ASSERT_OK(copy(given));
  EXPECT_EQ(mode_of("src"), 0755u);
  EXPECT_EQ(mode_of("src/tool"), 0755u);
  EXPECT_EQ(mode_of("src/text"), 0644u);
  given.mode_str = "u+q";
  EXPECT_EQ(code_of(copy(given)), ErrorCode::invalid_argument);
}

TEST_F(CopyTest, RequiredPathsMustBeThere) {
  from.file("a/b", "x");
  auto some = copy_of("/", "/");
  some.include_patterns = {"a/b"};
  some.required_paths = {"/a/b"};
  EXPECT_OK(copy(some));
  some.required_paths = {"/a/missing"};
  EXPECT_EQ(code_of(copy(some)), ErrorCode::not_found);
}

TEST_F(CopyTest, WhatIsNotThereIsAnError) {
  EXPECT_EQ(code_of(copy("/missing", "/x")), ErrorCode::not_found);
  EXPECT_EQ(code_of(copy("/no/missing", "/x")), ErrorCode::not_found);
  EXPECT_THAT(names(), IsEmpty());
}

TEST_F(CopyTest, TreesOfAnyDepthAreCopiedWithFewDescriptors) {
  from.deep(60);
  from.file("file", "x");
  {
    const test::FewDescriptors few;
    ASSERT_OK(copy("/", "/"));
    auto last = copy_of("/", "/patterns");
    last.dir_copy_contents = true;
    last.include_patterns = {"file"};
    ASSERT_OK(copy(last));
  }
  EXPECT_EQ(content("patterns/file"), "x");
  EXPECT_EQ(names().size(), 2 * test::names_below(from.root()).size() - test::names_below(from.root()).size() + 2);
}

TEST_F(CopyTest, ItStopsWhenItIsAskedTo) {
  from.file("dir/file", "x");
  std::stop_source stop;
  stop.request_stop();
  const auto stopped = copy(copy_of("/dir", "/"), {.stop = stop.get_token()});
  ASSERT_FALSE(stopped);
  EXPECT_EQ(stopped.error().code, ErrorCode::cancelled);
}

}  // namespace
}  // namespace cairn::solver
