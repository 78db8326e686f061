// SPDX-License-Identifier: Apache-2.0
// The corners of the encoder that a tree on disk hardly reaches. The vectors of tests/golden/layers have the rest.
#include <gmock/gmock.h>
#include <sys/sysmacros.h>

#include "libsnapshot/tar/encoder.h"

namespace cairn::snapshot {
namespace {

using testing::HasSubstr;

std::string header_of(const TarEntry& entry) {
  std::string out;
  const auto status = append_header(entry, out);
  EXPECT_TRUE(status) << (status ? "" : status.error().message);
  EXPECT_EQ(out.size() % 512, 0u);
  return out;
}
std::string header_of(const std::string& name) {
  TarEntry entry;
  entry.name = name;
  entry.mode = 0644;
  return header_of(entry);
}
std::string field(const std::string& header, std::size_t at, std::size_t width) { return header.substr(at, width); }
std::string text(const std::string& header, std::size_t at, std::size_t width) {
  return field(header, at, width).c_str();
}

TEST(TarEncoderTest, NumbersFillTheirFieldsAndEndWithNul) {
  TarEntry entry;
  entry.name = "f";
  entry.mode = 04755;
  entry.uid = 2097151;
  entry.size = 077777777777;
  entry.mtime = {1'600'000'000, 999'999'999};
  const std::string header = header_of(entry);
  ASSERT_EQ(header.size(), 512u);
  EXPECT_EQ(field(header, 100, 8), std::string("0004755\0", 8));
  EXPECT_EQ(field(header, 108, 8), std::string("7777777\0", 8));
  EXPECT_EQ(field(header, 124, 12), std::string("77777777777\0", 12));
  EXPECT_EQ(text(header, 136, 12), "13727410000") << "whole seconds";
  EXPECT_EQ(field(header, 154, 2), std::string("\0 ", 2)) << "the end of the checksum";
  EXPECT_EQ(field(header, 257, 8), std::string("ustar\0" "00", 8));
  EXPECT_EQ(field(header, 329, 8), std::string("0000000\0", 8));
}

TEST(TarEncoderTest, WhatDoesNotFitBecomesARecord) {
  TarEntry entry;
  entry.name = "d/f";
  entry.size = 1ull << 33;
  entry.gid = 2097152;
  entry.mtime = {-1, 500'000'000};
  const std::string header = header_of(entry);
  ASSERT_EQ(header.size(), 3 * 512u);
  EXPECT_EQ(text(header, 0, 100), "d/PaxHeaders.0/f");
  EXPECT_EQ(header[156], 'x');
  EXPECT_EQ(field(header, 329, 16), std::string(16, '\0')) << "an extended header has no device";
  EXPECT_EQ(text(header, 512, 512), "15 gid=2097152\n12 mtime=-1\n19 size=8589934592\n");
  EXPECT_EQ(field(header, 1024 + 124, 12), std::string("00000000000\0", 12));
  EXPECT_EQ(field(header, 1024 + 116, 8), std::string("0000000\0", 8));
}

TEST(TarEncoderTest, LongNamesAreSplitAtTheLastSlashThatFits) {
  const std::string name = std::string(80, 'a') + "/" + std::string(70, 'b') + "/" + std::string(90, 'c');
  const std::string header = header_of(name);
  ASSERT_EQ(header.size(), 512u);
  EXPECT_EQ(text(header, 345, 155), name.substr(0, 151));
  EXPECT_EQ(text(header, 0, 100), std::string(90, 'c'));
  EXPECT_EQ(header_of(std::string(155, 'p') + "/" + std::string(100, 'n')).size(), 512u);
  EXPECT_EQ(header_of(std::string(156, 'p') + "/" + std::string(99, 'n')).size(), 3 * 512u);
  EXPECT_EQ(header_of(std::string(50, 'p') + "/" + std::string(101, 'n')).size(), 3 * 512u);
}

TEST(TarEncoderTest, ADirectorysSlashIsNoPlaceToSplit) {
  TarEntry entry;
  entry.type = EntryType::directory;
  entry.name = std::string(60, 'a') + "/" + std::string(60, 'b') + "/";
  const std::string header = header_of(entry);
  ASSERT_EQ(header.size(), 512u);
  EXPECT_EQ(text(header, 345, 155), std::string(60, 'a'));
  EXPECT_EQ(text(header, 0, 100), std::string(60, 'b') + "/");
}

// Readers take a file whose field ends with a slash for a directory, whatever the record says.
TEST(TarEncoderTest, ACutNameDoesNotEndWithASlash) {
  const std::string name = std::string(99, 'a') + "/" + std::string(150, 'b');
  const std::string header = header_of(name);
  ASSERT_EQ(header.size(), 3 * 512u);
  EXPECT_EQ(text(header, 512, 512), "260 path=" + name + "\n");
  EXPECT_EQ(field(header, 1024, 100), std::string(99, 'a') + std::string(1, '\0'));
  EXPECT_EQ(text(header, 0, 100), std::string(99, 'a')) << "of the extended header: the slash is cut off";
}

TEST(TarEncoderTest, OtherThanAsciiIsLeftOutOfTheFields) {
  const std::string header = header_of("d\xc3\xa9/na\xffme");
  ASSERT_EQ(header.size(), 3 * 512u);
  EXPECT_EQ(text(header, 0, 100), "d/PaxHeaders.0/name");
  EXPECT_EQ(text(header, 512, 512), "18 path=d\xc3\xa9/na\xffme\n");
  EXPECT_EQ(text(header, 1024, 100), "d/name");
}

// The length counts its own digits.
TEST(TarEncoderTest, LengthsOfRecordsCountThemselves) {
  for (std::size_t size = 1; size < 1200; ++size) {
    TarEntry entry;
    entry.name = "f";
    entry.xattrs = {{"user.x", std::string(size, 'v')}};
    const std::string header = header_of(entry);
    const std::string record = field(header, 512, static_cast<std::size_t>(std::stoul(text(header, 124, 12), nullptr, 8)));
    EXPECT_EQ(std::stoul(record), record.size());
    EXPECT_EQ(record.substr(record.find(' ')), " SCHILY.xattr.user.x=" + std::string(size, 'v') + "\n");
  }
}

TEST(TarEncoderTest, WhatNoTarHoldsIsRefused) {
  const auto refusal = [](TarEntry entry) {
    std::string out;
    const auto status = append_header(entry, out);
    EXPECT_FALSE(status);
    return status ? "" : status.error().message;
  };
  TarEntry entry;
  entry.name = "looks-like/";
  EXPECT_THAT(refusal(entry), HasSubstr("looks-like"));
  entry.name = std::string("a\0b", 3);
  EXPECT_THAT(refusal(entry), HasSubstr("no such name"));
  entry.name = "f";
  entry.xattrs = {{"user.a=b", "c"}};
  EXPECT_THAT(refusal(entry), HasSubstr("user.a=b"));
  entry.xattrs = {{"user.huge", std::string(2 << 20, 'x')}};
  EXPECT_THAT(refusal(entry), HasSubstr("records"));
  entry.xattrs.clear();
  entry.device = makedev(1, 1u << 21);
  EXPECT_THAT(refusal(entry), HasSubstr("device"));
}

}  // namespace
}  // namespace cairn::snapshot
