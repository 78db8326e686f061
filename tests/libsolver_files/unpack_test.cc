// SPDX-License-Identifier: Apache-2.0
// Copies that unpack what is an archive.
#include "libbase/compress/decoder.h"
#include "tests/e2e/program.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/libsolver_files/two_trees.h"
#include "tests/support/oci_layout_builder.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using base::Compression;
using base::ErrorCode;
using snapshot::TarBuilder;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class UnpackTest : public TwoTrees {
 protected:
  static wire::FileActionCopy add(std::string src, std::string dest) {
    auto action = copy_of(std::move(src), std::move(dest));
    action.attempt_unpack = true;
    action.create_dest_path = true;
    return action;
  }
  static std::string sample() {
    return TarBuilder().dir("dir", 0711).file("dir/file", "content").symlink("dir/link", "file").hard_link("hard", "dir/file")
        .add({.name = "suid", .data = "x", .link = "", .mode = 04755, .uid = 5, .gid = 6}).finish();
  }
};

TEST_F(UnpackTest, EachCompressionIsTheSameTree) {
  for (const auto& [compression, name] : {std::pair(Compression::none, "plain"), std::pair(Compression::gzip, "gzip"),
                                          std::pair(Compression::zstd, "zstd")}) {
    from.file(name, cache::must(base::compress(compression, sample())));
    ASSERT_OK(copy(add(std::string("/") + name, std::string("/out/") + name)));
    EXPECT_EQ(test::describe_tree(to.root() / "out" / name, test::Times::show),
              test::describe_tree(to.root() / "out/plain", test::Times::show));
  }
  // By the programs that make them, since we only read these.
  const test::TempDir files;
  test::write_text(files / "a.tar", sample());
  for (const char* program : {"xz", "bzip2"}) {
    const test::Ended packed = test::run_program(files.path(), {program, "--stdout", (files / "a.tar").str()});
    ASSERT_EQ(packed.code, 0) << packed.err;
    from.file(program, packed.out);
    ASSERT_OK(copy(add(std::string("/") + program, std::string("/out/") + program)));
    EXPECT_EQ(test::describe_tree(to.root() / "out" / program, test::Times::show),
              test::describe_tree(to.root() / "out/plain", test::Times::show));
  }
  EXPECT_EQ(content("out/gzip/dir/file"), "content");
  EXPECT_EQ(mode_of("out/gzip/dir"), 0711u);
  EXPECT_EQ(mode_of("out/gzip/suid"), 04755u);
  EXPECT_EQ(stat_of("out/gzip/suid").st_gid, 6u);
  EXPECT_EQ(stat_of("out/gzip/dir/file").st_ino, stat_of("out/gzip/hard").st_ino);
}

TEST_F(UnpackTest, WhatIsNoArchiveIsCopied) {
  from.file("text", "no archive, but a text that is longer than nothing");
  from.file("empty");
  from.file("zeros", std::string(2048, '\0'));
  from.file("gzip-of-text", cache::must(base::compress(Compression::gzip, "a text")));
  from.file("damaged", std::string("\x1f\x8b\x08\0garbage", 11));
  from.file("damaged-xz", std::string("\xfd" "7zXZ\0rest", 10));
  from.file("damaged-bzip2", "BZh91AY&SY");
  from.dir("dir");
  for (const char* name : {"text", "empty", "zeros", "gzip-of-text", "damaged", "damaged-xz", "damaged-bzip2", "dir"}) {
    EXPECT_OK(copy(add(std::string("/") + name, "/out/")));
  }
  EXPECT_EQ(test::describe_tree(to.root() / "out", test::Times::leave_out), test::describe_tree(from.root(), test::Times::leave_out));
  EXPECT_OK(copy(copy_of("/text", "/plain")));
}

TEST_F(UnpackTest, AnArchiveThatIsNotToBeUnpackedIsAFile) {
  from.file("a.tar", sample());
  ASSERT_OK(copy("/a.tar", "/"));
  EXPECT_THAT(names(), ElementsAre("a.tar"));
}

TEST_F(UnpackTest, OwnersAreGivenToAllThatIsMade) {
  from.file("a.tar", sample());
  to.file("out/before", "x");
  ASSERT_OK(copy(add("/a.tar", "/out"), {.owner = Ownership{21, 22}}));
  for (const char* path : {"out/dir", "out/dir/file", "out/dir/link", "out/hard", "out/suid"}) {
    EXPECT_EQ(stat_of(path).st_uid, 21u) << path;
    EXPECT_EQ(stat_of(path).st_gid, 22u) << path;
  }
  EXPECT_EQ(mode_of("out/suid"), 04755u);
  EXPECT_EQ(stat_of("out/before").st_uid, 0u);
}

TEST_F(UnpackTest, ByPatternEachAsWhatItIs) {
  from.file("1.x", TarBuilder().file("one", "1").finish());
  from.file("2.x", "a text");
  auto action = add("/*.x", "/");
  action.allow_wildcard = true;
  ASSERT_OK(copy(action));
  EXPECT_THAT(names(), ElementsAre("2.x", "one"));
}

TEST_F(UnpackTest, NothingLeavesTheDirectory) {
  const std::string out = outside.root().str();
  to.dir("dest");
  to.file("secret", "kept");
  from.file("link.tar", TarBuilder().symlink("out", out).file("out/secret", "evil").symlink("up", "..").file("up/secret", "evil").finish());
  EXPECT_OK(copy(add("/link.tar", "/dest")));
  EXPECT_EQ(content("secret"), "kept") << "the directory is the root of the archive";
  for (const std::string name : {"../secret", "dir/../../secret"}) {
    from.file("up.tar", TarBuilder().file(name, "evil").finish());
    EXPECT_FALSE(copy(add("/up.tar", "/dest"))) << name;
  }
  EXPECT_EQ(content("secret"), "kept");
}

TEST_F(UnpackTest, WhatCannotBeUnpackedSaysSo) {
  from.file("wh.tar", TarBuilder().file("dir/.wh.gone", "").finish());
  from.file("long.tar", TarBuilder().pax("path", "dir/.wh..wh..opq").file("x", "").finish());
  to.file("dir/gone", "kept");
  for (const char* name : {"/wh.tar", "/long.tar"}) {
    const auto status = copy(add(name, "/"));
    ASSERT_FALSE(status) << name;
    EXPECT_EQ(status.error().code, ErrorCode::unavailable);
    EXPECT_THAT(status.error().message, HasSubstr("not supported: unpacking"));
  }
  EXPECT_THAT(names(), ElementsAre("dir", "dir/gone"));
  from.file("short.tar", sample().substr(0, 600));
  EXPECT_FALSE(copy(add("/short.tar", "/short")));
}

}  // namespace
}  // namespace cairn::solver
