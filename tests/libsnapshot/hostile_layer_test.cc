// SPDX-License-Identifier: Apache-2.0
// What a badly made layer is told, and that nothing outside the tree notices (the fixture compares a sentinel).
#include <sched.h>
#include <sys/wait.h>

#include <cstdio>
#include <thread>

#include "tests/libsnapshot/layer_fixture.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using testing::AnyOf;
using testing::HasSubstr;
using testing::ElementsAre;
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

TEST_F(LayerTest, FlippedBitsInCompressedLayersAreCorrupt) {
  std::string data;
  for (unsigned i = 0, x = 1; i < 300'000; ++i) data += static_cast<char>('a' + ((x = x * 1103515245 + 12345) >> 28));
  const std::string tar = TarBuilder().file("a", data).finish();
  for (const auto compression : {base::Compression::gzip, base::Compression::zstd}) {
    std::string blob = must(base::compress(compression, tar));
    for (const std::size_t at : {blob.size() / 3, blob.size() / 2, blob.size() - 5}) {
      blob[at] = static_cast<char>(blob[at] ^ 0x10);
      refusal(blob, ErrorCode::corrupt);
      blob[at] = static_cast<char>(blob[at] ^ 0x10);
    }
  }
}

TEST_F(LayerTest, BombsAreRefusedByRatio) {
  const std::string tar = TarBuilder().file("zeros", std::string(64 << 20, '\0')).finish();
  ApplyOptions options;
  options.ratio_free = 4 << 20;
  options.ratio_max = 100;
  for (const auto compression : {base::Compression::gzip, base::Compression::zstd}) {
    const auto blob = must(base::compress(compression, tar));
    const auto refused = apply_bytes(tree(), blob, options);
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(refused.error().message, HasSubstr("unpack to more than"));
    // It may have been found out before the first entry was made.
    const std::int64_t written = tree().exists("zeros") ? tree().stat("zeros").st_size : 0;
    EXPECT_LT(written, 32 << 20) << "stopped early";
  }
  EXPECT_TRUE(apply_bytes(tree(), tar, options)) << "what is not compressed is no bomb";
  options.ratio_max = 200'000;
  EXPECT_TRUE(apply_bytes(tree(), must(base::compress(base::Compression::zstd, tar)), options));
}

TEST_F(LayerTest, NamesOfGigabytesAreRefusedBeforeTheyAreRead) {
  for (const char type : {'L', 'K', 'x', 'g'}) {
    for (const std::uint64_t size : {std::uint64_t{16} << 20, std::uint64_t{4} << 30, std::uint64_t{1} << 62}) {
      const auto tar = TarBuilder()
                           .add({.name = "long", .type = type, .data = std::string(4096, 'n'), .says_size = size})
                           .file("x", "1")
                           .finish();
      const auto refused = apply_bytes(tree(), tar);
      ASSERT_FALSE(refused) << type << size;
      EXPECT_TRUE(code_of(refused) == ErrorCode::corrupt || code_of(refused) == ErrorCode::invalid_argument);
    }
  }
  EXPECT_THAT(tree().names(), IsEmpty());
}

TEST_F(LayerTest, OfEntriesWithOneNameTheLastWins) {
  apply(TarBuilder().file("a", "1").symlink("a", "elsewhere").file("a", "2").hard_link("b", "a").hard_link("b", "a")
            .dir("d").file("d/x", "1").file("d", "3").dir("d").add({.name = "p", .type = '6'}).file("p", "4").finish());
  EXPECT_EQ(tree().read("a"), "2");
  EXPECT_EQ(tree().stat("b").st_ino, tree().stat("a").st_ino);
  EXPECT_EQ(tree().stat("a").st_nlink, 2u);
  EXPECT_THAT(tree().names("d"), IsEmpty());
  EXPECT_EQ(tree().read("p"), "4");
}

TEST_F(LayerTest, CaseIsNoTrick) {
  apply(TarBuilder().symlink("Dir", "..").dir("dir").file("dir/f", "1").file("DIR/f", "2").file(".WH.dir", "kept")
            .file("x", "3").file(".Wh..wh..opq", "kept").finish());
  EXPECT_EQ(tree().read("dir/f"), "1");
  EXPECT_EQ(tree().read("DIR/f"), "2");
  EXPECT_TRUE(S_ISLNK(tree().stat("Dir").st_mode));
  EXPECT_EQ(tree().read(".WH.dir"), "kept");
}

TEST_F(LayerTest, DevicesAreRefusedOrSkippedWhereTheyAreNotAllowed) {
  const auto tar = TarBuilder().file("f", "1").add({.name = "dev/sda", .type = '4', .major = 8})
                       .add({.name = "dev/null", .type = '3', .major = 1, .minor = 3})
                       .add({.name = "fifo", .type = '6'}).finish();
  ApplyOptions options;
  options.devices = Devices::refuse;
  const auto refused = apply_bytes(tree(), tar, options);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message, HasSubstr("dev/sda"));
  options.devices = Devices::skip;
  const auto applied = must(apply_bytes(tree(), tar, options));
  EXPECT_EQ(applied.devices_skipped, 2u);
  EXPECT_THAT(tree().names("dev"), IsEmpty());
  EXPECT_TRUE(S_ISFIFO(tree().stat("fifo").st_mode)) << "a fifo is no device";
}

bool write_text(const char* path, std::string_view text) {
  const base::Fd file(::open(path, O_WRONLY | O_CLOEXEC));
  return file && base::write_full(file.get(), text).has_value();
}

// There nobody can make one, whatever capabilities he has.
TEST_F(LayerTest, DevicesAreSkippedInAUserNamespace) {
  const auto tar = TarBuilder().file("before", "1").add({.name = "null", .type = '3', .major = 1, .minor = 3})
                       .file("after", "2").finish();
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool inside = ::unshare(CLONE_NEWUSER) == 0 && write_text("/proc/self/uid_map", "0 0 1\n") &&
                        write_text("/proc/self/setgroups", "deny") && write_text("/proc/self/gid_map", "0 0 1\n");
    const auto applied = apply_bytes(tree(), tar);
    if (!applied) std::fprintf(stderr, "%s\n", applied.error().message.c_str());
    ::_exit(inside && applied && applied->devices_skipped == 1 && applied->entries == 3 ? 0 : 1);
  }
  int status = -1;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_EQ(status, 0);
  EXPECT_THAT(tree().names(), ElementsAre("after", "before"));
}

// Somebody exchanges a directory and a link out of the tree while members go into it.
TEST_F(LayerTest, NamesExchangedMeanwhileLeadNowhere) {
  const base::Fd top = must(base::open_host_dir(outside_.path()));
  tree().make_dir("d");
  ASSERT_EQ(::symlinkat(outside_.path().c_str(), tree().fd(), "link"), 0);
  TarBuilder builder;
  for (int i = 0; i < 1500; ++i) {
    const std::string number = std::to_string(i);
    builder.file("d/f" + number, "x").dir("d/sub" + number).symlink("d/s" + number, "x").hard_link("d/h" + number, "d/f" + number);
    builder.file("other" + number, "y").file("d/.wh.sentinel", "");
  }
  const std::string tar = builder.finish();
  std::uint64_t exchanges = 0;
  {
    std::jthread swapper([&](std::stop_token stop) {
      while (!stop.stop_requested()) {
        exchanges += ::renameat2(tree().fd(), "d", tree().fd(), "link", RENAME_EXCHANGE) == 0 ? 1 : 0;
      }
    });
    for (int round = 0; round < 3; ++round) (void)apply_bytes(tree(), tar);  // whatever comes of it
  }
  EXPECT_GT(exchanges, 100u);
  std::vector<std::string> outside;
  for (const auto& entry : must(base::list_dir(top.get()))) outside.push_back(entry.name);
  EXPECT_THAT(outside, ElementsAre("sentinel", "tree"));
}

}  // namespace
}  // namespace cairn::snapshot
