// SPDX-License-Identifier: Apache-2.0
// Links that lead out of a tree: absolute, by "..", and put in the middle of the work. What is outside is compared after
// each test.
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <thread>

#include "tests/libsolver_files/two_trees.h"

namespace cairn::solver {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Not;

class HostileLinksTest : public TwoTrees {
 protected:
  // Names of the directory outside, absolutely and by steps up that are more than enough.
  std::vector<std::string> ways_out() const {
    return {outside.root().str(), "../outside", "../../../../../../../../../../" + outside.root().str().substr(1)};
  }
};

TEST_F(HostileLinksTest, MakingThroughALinkStaysInTheTree) {
  for (const std::string& way : ways_out()) {
    ::unlink((to.root() / "out").c_str());
    to.symlink("out", way);
    EXPECT_TRUE(make_directory(to_fd(), {.path = "/out/made/deep", .mode = 0755, .make_parents = true, .owner = {}, .timestamp = -1, .unknown = {}}, {}));
    EXPECT_TRUE(make_file(to_fd(), {.path = "/out/secret", .mode = 0644, .data = {"inside"}, .owner = {}, .timestamp = -1, .unknown = {}}, {}));
    EXPECT_TRUE(make_link(to_fd(), {.oldpath = "x", .newpath = "/out/link", .owner = {}, .timestamp = -1, .unknown = {}}, Ownership{1, 1}));
    EXPECT_TRUE(remove_paths(to_fd(), {.path = "/out/link", .allow_not_found = false, .allow_wildcard = false, .unknown = {}}));
    EXPECT_TRUE(remove_paths(to_fd(), {.path = "/out/s*", .allow_not_found = false, .allow_wildcard = true, .unknown = {}}));
  }
}

TEST_F(HostileLinksTest, AFileThatIsALinkIsWrittenInTheTree) {
  to.symlink("file", outside.root().str() + "/secret");
  EXPECT_FALSE(make_file(to_fd(), {.path = "/file", .mode = 0644, .data = {"x"}, .owner = {}, .timestamp = -1, .unknown = {}}, {}))
      << "its directory is not in the tree";
  to.dir(outside.root().str().substr(1));
  EXPECT_TRUE(make_file(to_fd(), {.path = "/file", .mode = 0644, .data = {"inside"}, .owner = {}, .timestamp = -1, .unknown = {}}, {}));
  EXPECT_EQ(content(outside.root().str().substr(1) + "/secret"), "inside");
}

TEST_F(HostileLinksTest, NothingFromOutsideIsCopied) {
  for (const std::string& way : ways_out()) {
    ::unlink((from.root() / "out").c_str());
    from.symlink("out", way);
    for (const std::string src : {"/out/secret", "/out/../outside/secret", "/out"}) {
      auto action = copy_of(src, "/got");
      action.follow_symlink = true;
      EXPECT_FALSE(copy(action)) << src << " by " << way;
    }
    auto wild = copy_of("/out/*", "/got");
    wild.allow_wildcard = true;
    EXPECT_FALSE(copy(wild));
  }
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(HostileLinksTest, ACopyThroughALinkStaysInTheTree) {
  from.file("dir/secret", "new");
  for (const std::string& way : ways_out()) {
    ::unlink((to.root() / "out").c_str());
    to.symlink("out", way);
    auto action = copy_of("/dir", "/out");
    action.dir_copy_contents = true;
    action.create_dest_path = true;
    action.always_replace_existing = true;
    EXPECT_OK(copy(action, {.owner = Ownership{1, 1}}));
    action.src = "/dir/secret";
    action.dest = "/out/below/";
    EXPECT_OK(copy(action));
  }
}

// Below the directory that is copied to, a link is in the way of a directory.
TEST_F(HostileLinksTest, ALinkBelowTheDestinationIsNoDirectory) {
  from.file("dir/sub/secret", "new");
  to.symlink("dir/sub", outside.root().str());
  auto action = copy_of("/dir", "/dir");
  action.dir_copy_contents = true;
  EXPECT_FALSE(copy(action));
  action.include_patterns = {"sub/secret"};
  EXPECT_FALSE(copy(action));
}

TEST_F(HostileLinksTest, LinksInCirclesEnd) {
  to.symlink("a", "b");
  to.symlink("b", "a");
  from.symlink("a", "a/a");
  EXPECT_FALSE(make_directory(to_fd(), {.path = "/a/x", .mode = 0755, .make_parents = true, .owner = {}, .timestamp = -1, .unknown = {}}, {}));
  auto action = copy_of("/a", "/x");
  action.follow_symlink = true;
  EXPECT_FALSE(copy(action));
}

// Somebody exchanges a directory and a link to outside as fast as he can while things are made, removed and copied.
TEST_F(HostileLinksTest, ALinkThatIsSwappedInLeadsNowhere) {
  to.dir("swap/dir");
  to.symlink("swap/link", outside.root().str());
  from.dir("swap/dir");
  from.symlink("swap/link", outside.root().str());
  from.file("tree/dir/secret", "new");
  std::atomic<bool> stop{false};
  std::jthread swapper([&] {
    while (!stop) {
      for (const auto* tree : {&to, &from}) {
        const std::string dir = (tree->root() / "swap/dir").str(), link = (tree->root() / "swap/link").str();
        ::syscall(SYS_renameat2, AT_FDCWD, dir.c_str(), AT_FDCWD, link.c_str(), 2 /* RENAME_EXCHANGE */);
      }
    }
  });
  int done = 0;
  for (int round = 0; round < 300; ++round) {
    // Each may fail or work; none may reach outside.
    done += make_file(to_fd(), {.path = "/swap/dir/secret", .mode = 0600, .data = {"x"}, .owner = {}, .timestamp = 0, .unknown = {}}, {}).has_value();
    done += make_directory(to_fd(), {.path = "/swap/dir/made", .mode = 0700, .make_parents = true, .owner = {}, .timestamp = 0, .unknown = {}}, {}).has_value();
    done += copy(copy_of("/tree/dir", "/swap/")).has_value();
    done += copy(copy_of("/tree/dir/secret", "/swap/dir/secret")).has_value();
    EXPECT_FALSE(copy(copy_of("/swap/dir/secret", "/got")));
    done += remove_paths(to_fd(), {.path = "/swap/dir/s*", .allow_not_found = true, .allow_wildcard = true, .unknown = {}}).has_value();
  }
  stop = true;
  EXPECT_GT(done, 0);
  EXPECT_THAT(names(), Not(Contains("got")));
}

}  // namespace
}  // namespace cairn::solver
