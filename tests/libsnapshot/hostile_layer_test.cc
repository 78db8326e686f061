// SPDX-License-Identifier: Apache-2.0
// What a badly made layer is told, and that nothing outside the tree notices (the fixture compares a sentinel).
#include "tests/libsnapshot/layer_fixture.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using testing::AnyOf;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(LayerTest, NamesThatStepUpAreRefused) {
  for (const std::string name : {"../sentinel", "a/../../sentinel", "..", "/../sentinel", "a/.."}) {
    EXPECT_THAT(refusal(TarBuilder().file(name, "evil").finish(), ErrorCode::invalid_argument), HasSubstr(name));
  }
  EXPECT_THAT(tree().names(), IsEmpty());
}

TEST_F(LayerTest, AbsoluteNamesAreRefused) {
  const auto path = (outside_ / "sentinel").str();
  EXPECT_THAT(refusal(TarBuilder().file(path, "mine").finish(), ErrorCode::invalid_argument),
              HasSubstr("is an absolute path"));
  EXPECT_THAT(tree().names(), IsEmpty());
}

TEST_F(LayerTest, WritingThroughLinksStaysInside) {
  const auto outside = outside_.path().str();
  apply(TarBuilder().symlink("up", "..").file("up/sentinel", "evil").finish());
  EXPECT_EQ(tree().read("sentinel"), "evil");
  apply(TarBuilder().symlink("host", outside).file("host/sentinel", "evil").finish());
  EXPECT_EQ(tree().read(outside.substr(1) + "/sentinel"), "evil");
  apply(TarBuilder().symlink("file", outside + "/sentinel").file("file", "replaced").finish());
  EXPECT_EQ(tree().read("file"), "replaced");
  apply(TarBuilder().symlink("out", "..").file("out/.wh.sentinel", "").file("out/.wh..wh..opq", "").finish());
}

TEST_F(LayerTest, HardLinksStayInside) {
  const auto outside = outside_.path().str();
  EXPECT_THAT(refusal(TarBuilder().hard_link("h", "../sentinel").finish(), ErrorCode::invalid_argument),
              HasSubstr("../sentinel"));
  EXPECT_THAT(refusal(TarBuilder().hard_link("h", outside + "/sentinel").finish(), ErrorCode::invalid_argument),
              HasSubstr("is an absolute path"));
  EXPECT_THAT(refusal(TarBuilder().symlink("up", "..").hard_link("h", "up/sentinel").finish(),
                      ErrorCode::invalid_argument), HasSubstr("there is no such file"));
  refusal(TarBuilder().dir("d").hard_link("h", "d").finish(), ErrorCode::invalid_argument);
  refusal(TarBuilder().hard_link("h", ".").finish(), ErrorCode::invalid_argument);
  refusal(TarBuilder().file("f", "x").hard_link("f", "f").finish(), ErrorCode::invalid_argument);
  EXPECT_EQ(tree().read("f"), "x");
  // Linking to a symlink links the symlink; its target's mode is nobody's business.
  apply(TarBuilder().symlink("s", outside + "/sentinel").hard_link("h", "s").finish());
  EXPECT_TRUE(S_ISLNK(tree().stat("h").st_mode));
}

TEST_F(LayerTest, LinkLoopsAndFilesOnTheWayAreRefused) {
  refusal(TarBuilder().symlink("a", "b").symlink("b", "a").file("a/x", "1").finish(), ErrorCode::invalid_argument);
  EXPECT_THAT(refusal(TarBuilder().file("f", "1").file("f/x", "2").finish(), ErrorCode::invalid_argument),
              HasSubstr("is not a directory"));
  refusal(TarBuilder().symlink("l", std::string(99, 'x') + "/..").pax("linkpath", std::string(300, 'y'))
              .symlink("m", "?").file("m/x", "1").finish(), ErrorCode::invalid_argument);
}

TEST_F(LayerTest, NulsAndUnknownTypesAreRefused) {
  const std::string nul("a\0b", 3);
  EXPECT_THAT(refusal(TarBuilder().pax("path", nul).file("x", "1").finish(), ErrorCode::invalid_argument),
              HasSubstr("NUL"));
  EXPECT_THAT(refusal(TarBuilder().pax("linkpath", nul).symlink("x", "y").finish(), ErrorCode::invalid_argument),
              HasSubstr("NUL"));
  EXPECT_THAT(refusal(TarBuilder().add({.name = "long", .type = 'L', .data = nul}).file("x", "1").finish(),
                      ErrorCode::invalid_argument), HasSubstr("NUL"));
  EXPECT_THAT(refusal(TarBuilder().add({.name = "x", .type = 'Q'}).finish(), ErrorCode::invalid_argument),
              HasSubstr("unknown type"));
  EXPECT_THAT(tree().names(), IsEmpty());
}

TEST_F(LayerTest, WhatATreeCannotHoldIsRefused) {
  EXPECT_THAT(refusal(TarBuilder().add({.name = "w", .type = '3'}).finish(), ErrorCode::invalid_argument),
              HasSubstr("whiteout"));
  refusal(TarBuilder().file(std::string(60, 'd') + "/", "").pax("path", std::string(300, 'n')).file("x", "1").finish(),
          ErrorCode::invalid_argument);
  refusal(TarBuilder().pax("uid", "4294967295").file("x", "1").finish(), ErrorCode::invalid_argument);
  refusal(TarBuilder().symlink(".", "/").finish(), ErrorCode::invalid_argument);
}

TEST_F(LayerTest, DamageIsCorrupt) {
  const std::string whole = TarBuilder().file("a", std::string(5000, 'a')).file("b", "b").finish();
  for (const std::size_t size : {100u, 511u, 513u, 3000u, 5700u}) {
    refusal(whole.substr(0, size), ErrorCode::corrupt);
  }
  refusal("this is no archive at all", ErrorCode::corrupt);
  std::string checksum = whole;
  checksum[0] = 'z';
  refusal(checksum, ErrorCode::corrupt);
  refusal(TarBuilder().add({.name = "pax", .type = 'x', .data = "99 path=x\n"}).file("x", "1").finish(),
          ErrorCode::corrupt);
  refusal(TarBuilder().pax("mtime", "yesterday").file("x", "1").finish(), ErrorCode::corrupt);
}

TEST_F(LayerTest, TruncatedCompressionIsCorrupt) {
  std::string data;
  for (unsigned i = 0, x = 1; i < 200'000; ++i) data += static_cast<char>((x = x * 1103515245 + 12345) >> 16);
  const std::string tar = TarBuilder().file("a", data).finish();
  for (const auto compression : {base::Compression::gzip, base::Compression::zstd}) {
    const auto blob = must(base::compress(compression, tar));
    refusal(blob.substr(0, blob.size() / 2), ErrorCode::corrupt);
    refusal(blob.substr(0, blob.size() - 3), ErrorCode::corrupt);
  }
}

}  // namespace
}  // namespace cairn::snapshot
