// SPDX-License-Identifier: Apache-2.0
// mkdir, mkfile, symlink and rm.
#include <sys/resource.h>
#include <unistd.h>

#include "tests/libsolver_files/two_trees.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using ::testing::ElementsAre;

class FileActionsTest : public TwoTrees {
 protected:
  base::Status mkdir(std::string path, bool parents = false, std::optional<Ownership> owner = {}, std::int64_t timestamp = -1,
                     std::int32_t mode = 0750) const {
    return make_directory(to_fd(), {.path = std::move(path), .mode = mode, .make_parents = parents, .owner = {}, .timestamp = timestamp, .unknown = {}}, owner);
  }
  base::Status mkfile(std::string path, std::string data, std::int32_t mode = 0640, std::optional<Ownership> owner = {},
                      std::int64_t timestamp = -1) const {
    return make_file(to_fd(), {.path = std::move(path), .mode = mode, .data = {std::move(data)}, .owner = {}, .timestamp = timestamp, .unknown = {}}, owner);
  }
  base::Status link(std::string target, std::string path, std::optional<Ownership> owner = {}, std::int64_t timestamp = -1) const {
    return make_link(to_fd(), {.oldpath = std::move(target), .newpath = std::move(path), .owner = {}, .timestamp = timestamp, .unknown = {}}, owner);
  }
  base::Status rm(std::string path, bool allow_not_found = false, bool wildcard = false) const {
    return remove_paths(to_fd(), {.path = std::move(path), .allow_not_found = allow_not_found, .allow_wildcard = wildcard, .unknown = {}});
  }
};

ErrorCode code_of(const base::Status& status) { return status ? ErrorCode::cancelled : status.error().code; }

TEST_F(FileActionsTest, DirectoriesAreMadeWithTheirModeWhateverTheUmask) {
  const mode_t before = ::umask(0077);
  EXPECT_TRUE(mkdir("/a", false, {}, -1, 0777));
  EXPECT_TRUE(mkdir("/x/y/z", true, Ownership{7, 8}, 1'500'000'000'000'000'001, 0711));
  ::umask(before);
  EXPECT_EQ(mode_of("a"), 0777u);
  for (const char* path : {"x", "x/y", "x/y/z"}) {
    EXPECT_EQ(mode_of(path), 0711u) << path;
    EXPECT_EQ(stat_of(path).st_uid, 7u);
    EXPECT_EQ(stat_of(path).st_gid, 8u);
    EXPECT_EQ(stat_of(path).st_mtim.tv_sec, 1'500'000'000) << path;
    EXPECT_EQ(stat_of(path).st_mtim.tv_nsec, 1) << path;
  }
}

TEST_F(FileActionsTest, ADirectoryThatIsThereStaysAsItIs) {
  to.dir("a", 0700);
  to.owner("a", 1, 2);
  EXPECT_TRUE(mkdir("/a", false, Ownership{5, 5}));
  EXPECT_TRUE(mkdir("/a/b", true, Ownership{5, 5}));
  EXPECT_EQ(mode_of("a"), 0700u);
  EXPECT_EQ(stat_of("a").st_uid, 1u);
  EXPECT_EQ(stat_of("a/b").st_uid, 5u);
  EXPECT_TRUE(mkdir("/"));
}

TEST_F(FileActionsTest, ADirectoryNeedsItsParentAndItsName) {
  to.file("file");
  EXPECT_EQ(code_of(mkdir("/no/where")), ErrorCode::not_found);
  EXPECT_EQ(code_of(mkdir("/file")), ErrorCode::already_exists);
  EXPECT_EQ(code_of(mkdir("/file/below", true)), ErrorCode::already_exists);
  EXPECT_THAT(names(), ElementsAre("file"));
}

TEST_F(FileActionsTest, FilesGetTheirBytesModeOwnerAndTime) {
  const std::string data("binary\0bytes", 12);
  EXPECT_TRUE(mkfile("/new", data, 0604, Ownership{3, 4}, 0));
  EXPECT_EQ(content("new"), data);
  EXPECT_EQ(mode_of("new"), 0604u);
  EXPECT_EQ(stat_of("new").st_gid, 4u);
  EXPECT_EQ(stat_of("new").st_mtim.tv_sec, 0);
}

TEST_F(FileActionsTest, AFileThatIsThereKeepsItsModeAndGetsTheBytes) {
  to.file("old", "a long content", 0600);
  EXPECT_TRUE(mkfile("/old", "new", 0777));
  EXPECT_EQ(content("old"), "new");
  EXPECT_EQ(mode_of("old"), 0600u);
}

TEST_F(FileActionsTest, AFileNeedsADirectoryAndTakesNoOtherPlace) {
  to.dir("dir");
  to.node("fifo", S_IFIFO | 0600);
  EXPECT_EQ(code_of(mkfile("/no/file", "x")), ErrorCode::not_found);
  EXPECT_FALSE(mkfile("/dir", "x"));
  EXPECT_FALSE(mkfile("/fifo", "x"));
  EXPECT_FALSE(mkfile("/", "x"));
  EXPECT_THAT(names(), ElementsAre("dir", "fifo"));
}

TEST_F(FileActionsTest, LinksHoldTheirTextAndAreOwnedThemselves) {
  EXPECT_TRUE(link("../anywhere//", "/link", Ownership{9, 10}, 2'000'000'000'000'000'000));
  char text[64] = {};
  ASSERT_GT(::readlink((to.root() / "link").c_str(), text, sizeof text - 1), 0);
  EXPECT_STREQ(text, "../anywhere//");
  EXPECT_EQ(stat_of("link").st_uid, 9u);
  EXPECT_EQ(stat_of("link").st_mtim.tv_sec, 2'000'000'000);
  to.file("file");
  EXPECT_EQ(code_of(link("x", "/file")), ErrorCode::already_exists);
  EXPECT_EQ(code_of(link("x", "/no/where")), ErrorCode::not_found);
}

TEST_F(FileActionsTest, RemovingTakesATreeALinkOrNothing) {
  to.file("dir/deep/file", "x");
  to.symlink("link", "dir");
  to.symlink("dangling", "nowhere");
  to.file("kept", "x");
  EXPECT_TRUE(rm("/link"));
  EXPECT_THAT(names(), ElementsAre("dangling", "dir", "dir/deep", "dir/deep/file", "kept"));
  EXPECT_TRUE(rm("/dangling"));
  EXPECT_TRUE(rm("/dir/"));
  EXPECT_THAT(names(), ElementsAre("kept"));
  EXPECT_EQ(code_of(rm("/missing")), ErrorCode::not_found);
  EXPECT_EQ(code_of(rm("/no/missing")), ErrorCode::not_found);
  EXPECT_TRUE(rm("/missing", true));
  EXPECT_TRUE(rm("/no/missing", true));
  EXPECT_EQ(code_of(rm("/")), ErrorCode::invalid_argument);
}

TEST_F(FileActionsTest, RemovingByPattern) {
  for (const char* path : {"a/1.o", "a/2.c", "b/3.o", "b/sub/4.o", "c.o/5", "d[1].o"}) to.file(path);
  EXPECT_TRUE(rm("/*/*.o", false, true));
  EXPECT_THAT(names(), ElementsAre("a", "a/2.c", "b", "b/sub", "b/sub/4.o", "c.o", "c.o/5", "d[1].o"));
  EXPECT_TRUE(rm("/*.o", false, true)) << "a directory goes as a whole";
  EXPECT_THAT(names(), ElementsAre("a", "a/2.c", "b", "b/sub", "b/sub/4.o"));
  EXPECT_TRUE(rm("/nothing*", false, true));
  EXPECT_EQ(code_of(rm("/no/dir*/x", false, true)), ErrorCode::not_found);
  EXPECT_TRUE(rm("/no/dir*/x", true, true));
  EXPECT_EQ(code_of(rm("/no-pattern", false, true)), ErrorCode::not_found);
  EXPECT_EQ(code_of(rm("/[z-", false, true)), ErrorCode::invalid_argument);
}

TEST_F(FileActionsTest, PathsOfAnyLengthWork) {
  to.deep(17);  // longer than PATH_MAX
  std::string path;
  for (int i = 0; i < 1000; ++i) path += "/d";
  EXPECT_TRUE(mkdir(path, true));
  EXPECT_TRUE(mkfile(path + "/file", "x"));
  EXPECT_TRUE(rm("/d"));
  EXPECT_FALSE(names().contains("d"));
}

}  // namespace
}  // namespace cairn::solver
