// SPDX-License-Identifier: Apache-2.0
// File, merge and diff steps of the real cachectl: the trees that come out are compared, and are found again.
#include <sys/stat.h>
#include <unistd.h>

#include "tests/e2e/world.h"
#include "tests/libsolver_sources/tree_on_disk.h"

namespace cairn::test {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class FileOps : public World {
 protected:
  // Solves cold, then warm; what comes out both times must be the same tree, and it is returned.
  std::map<std::string, std::string> tree_of(const llb::State& state, const Words& more = {}) {
    std::map<std::string, std::string> trees[2];
    for (int i = 0; i < 2; ++i) {
      const std::string name = "out" + std::to_string(next_++);
      Words words = more;
      words.insert(words.end(), {"--output", export_to(name)});
      const Solved solved = solve(state, words);
      EXPECT_EQ(solved.code, 0) << solved.err;
      EXPECT_TRUE(i == 0 || solved.executed == 0u) << solved.out;
      trees[i] = describe_tree(temp_ / name, Times::show);
    }
    EXPECT_EQ(trees[0], trees[1]);
    last_ = "out" + std::to_string(next_ - 1);
    return trees[1];
  }
  std::set<std::string> names() const { return names_below(temp_ / last_); }

  int next_ = 0;
  std::string last_;
};

TEST_F(FileOps, ACopyIsWhatCpMakes) {
  const base::HostPath dir = make_dir("src");
  const TreeOnDisk tree(dir);
  tree.file("lib/a.c", "a", 0640);
  tree.file("lib/deep/b.c", "b");
  tree.file("bin/tool", "#!", 0755);
  tree.hard_link("lib/also-a.c", "lib/a.c");
  tree.symlink("lib/link", "../bin/tool");
  tree.xattr("bin/tool", "user.note", "kept");
  tree.modified("lib/a.c", {1'500'000'000, 5});
  for (const char* path : {"lib/deep", "lib", "bin"}) tree.modified(path, {1'400'000'000, 7});
  const auto copied = llb::scratch().file(llb::FileActions().copy(llb::local("src", {.unique_id = "t"}), "/", "/"));
  EXPECT_EQ(tree_of(copied, {"--local", "src=" + dir.str()}), describe_tree(dir, Times::show));
}

TEST_F(FileOps, ActionsOnAnImageAreSeenByTheNextStep) {
  const auto made = image().file(llb::FileActions()
                                     .mkdir_parents("/work/sub", 0711)
                                     .owner({.user = "1000"})
                                     .created(1'600'000'000'000'000'000)
                                     .mkfile("/work/file", 0600, "text")
                                     .symlink("file", "/work/link")
                                     .copy(std::size_t{2}, "/work/file", "/work/copy", {.mode_text = "u=rw,go=r"})
                                     .rm("/bin/sh*", {.allow_wildcard = true})
                                     .rm("/not/there", {.allow_not_found = true})
                                     .name("files"));
  const auto seen = made.run({"/bin/busybox", "sh", "-c",
                              "cd /work && stat -c '%n %a %u %Y' sub > /out/said && cat link copy >> /out/said && stat -c %a copy >> "
                              "/out/said && ls /bin/sh /bin/sha1sum >> /out/said 2>/dev/null; true"},
                             {.mounts = {{.dest = "/out"}}, .name = "look"});
  ASSERT_EQ(solve(seen.mount_output("/out"), {"--output", export_to("out")}).code, 0);
  EXPECT_EQ(exported("out", "said"), "sub 711 1000 1600000000\ntexttext644\n");
}

TEST_F(FileOps, ALinkInAnImageLeadsNowhereOutside) {
  const base::HostPath outside = make_dir("outside");
  put(outside, "secret", "outside");
  const auto evil = llb::scratch().file(llb::FileActions().symlink(outside.str(), "/out").symlink("../../../../../../" + outside.str(), "/up"));
  for (const std::string way : {"/out", "/up"}) {
    const Solved read = solve(llb::scratch().file(llb::FileActions().copy(evil, way + "/secret", "/got", {.follow_symlink = true})));
    EXPECT_EQ(read.code, 3);
    EXPECT_THAT(read.err, HasSubstr("secret\": not found"));
    ASSERT_EQ(solve(evil.file(llb::FileActions()
                                  .mkdir_parents(way + "/made", 0755)
                                  .mkfile(way + "/secret", 0644, "inside")
                                  .rm(way + "/secret"))).code, 0);
  }
  EXPECT_EQ(this->read(outside / "secret"), "outside");
  EXPECT_THAT(names_in(outside), ElementsAre("secret"));
}

TEST_F(FileOps, AnArchiveIsUnpacked) {
  const base::HostPath dir = make_dir("src"), content = make_dir("content");
  put(content, "d/file", "unpacked");
  write_text(dir / "a.tar", tar_of(content));
  const auto added = llb::scratch().file(llb::FileActions().copy(llb::local("src", {.unique_id = "t"}), "/a.tar", "/to/",
                                                                 {.unpack = true, .create_dest_path = true}));
  tree_of(added, {"--local", "src=" + dir.str()});
  EXPECT_EQ(exported(last_, "to/d/file"), "unpacked");
}

TEST_F(FileOps, MergesAndDiffsOfStepsAreTheTreesThatStepsWouldHaveMade) {
  const auto base = llb::scratch().file(llb::FileActions().mkfile("/base", 0644, "base").mkdir("/d", 0755).mkfile("/d/old", 0644, "old"));
  const auto one = base.file(llb::FileActions().mkfile("/one", 0644, "1").rm("/d/old"));
  const auto two = base.file(llb::FileActions().mkfile("/d/two", 0644, "2"));
  tree_of(llb::merge({base, llb::diff(base, one), llb::diff(base, two)}, "both"));
  EXPECT_THAT(names(), ElementsAre("base", "d", "d/two", "one"));
  tree_of(llb::diff(base, two));
  EXPECT_THAT(names(), ElementsAre("d", "d/two"));
}

TEST_F(FileOps, OnlyWhatIsCopiedDecides) {
  const base::HostPath dir = make_dir("src");
  put(dir, "used/file", "1");
  put(dir, "other", "1");
  const auto copied = llb::scratch().file(llb::FileActions().copy(llb::local("src", {.unique_id = "t", .name = "source"}), "/used", "/used").name("copy"));
  const Words local = {"--local", "src=" + dir.str()};
  EXPECT_EQ(solve(copied, local).executed, 2u);
  put(dir, "other", "2");
  EXPECT_THAT(solve(copied, local).in_state("executed"), ElementsAre("source"));
  put(dir, "used/file", "2");
  EXPECT_THAT(solve(copied, local).in_state("executed"), ElementsAre("copy", "source"));
}

TEST_F(FileOps, WhatFailsNamesTheStepAndTheAction) {
  const Solved solved = solve(llb::scratch().file(llb::FileActions().mkdir("/a", 0755).rm("/missing").name("breaks")));
  EXPECT_EQ(solved.code, 3);
  EXPECT_EQ(solved.states.at("breaks"), "failed");
  EXPECT_THAT(solved.err, HasSubstr("breaks: file action 1: remove /missing: it does not exist"));
}

}  // namespace
}  // namespace cairn::test
