// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/words.h"

#include <gtest/gtest.h>

namespace cairn::serve {
namespace {

std::string range(std::string_view text, std::uint64_t size) {
  const RangeAsked asked = parse_range(text, size);
  if (asked.fit == RangeFit::whole) return "whole";
  if (asked.fit == RangeFit::beyond) return "beyond";
  return std::to_string(asked.bytes.offset) + "+" + std::to_string(asked.bytes.length);
}

TEST(HeaderWords, RangesOfOnePart) {
  EXPECT_EQ(range("bytes=0-0", 10), "0+1");
  EXPECT_EQ(range("bytes=2-5", 10), "2+4");
  EXPECT_EQ(range("bytes=2-", 10), "2+8");
  EXPECT_EQ(range("bytes=2-99999999999999999", 10), "2+8");
  EXPECT_EQ(range("bytes=-3", 10), "7+3");
  EXPECT_EQ(range("bytes=-30", 10), "0+10");
  EXPECT_EQ(range("bytes=9-9", 10), "9+1");
  EXPECT_EQ(range("bytes=10-", 10), "beyond");
  EXPECT_EQ(range("bytes=-0", 10), "beyond");
  EXPECT_EQ(range("bytes=0-", 0), "beyond");
  EXPECT_EQ(range("bytes=0-18446744073709551615", 10), "0+10");
  for (const char* text : {"", "bytes=", "bytes=-", "bytes=5-2", "bytes=a-b", "bytes=1-2,4-5", "items=1-2", "bytes=0-184467440737095516160", "bytes=+1-2", "bytes 1-2"})
    EXPECT_EQ(range(text, 10), "whole") << text;
}

TEST(HeaderWords, NumbersAreDigitsAndNothingElse) {
  EXPECT_EQ(parse_number("0"), 0u);
  EXPECT_EQ(parse_number("18446744073709551615"), UINT64_MAX);
  for (const char* text : {"", "-1", "+1", " 1", "1 ", "0x1", "18446744073709551616", "1.0"}) EXPECT_FALSE(parse_number(text)) << text;
}

TEST(HeaderWords, EncodingsAndTags) {
  EXPECT_TRUE(accepts_encoding("zstd", "zstd"));
  EXPECT_TRUE(accepts_encoding("gzip, ZSTD;q=0.5", "zstd"));
  EXPECT_TRUE(accepts_encoding("*", "zstd"));
  EXPECT_FALSE(accepts_encoding("", "zstd"));
  EXPECT_FALSE(accepts_encoding("gzip, deflate", "zstd"));
  EXPECT_FALSE(accepts_encoding("zstd;q=0", "zstd"));
  EXPECT_FALSE(accepts_encoding("*, zstd;q=0.0", "zstd"));
  EXPECT_TRUE(names_tag("\"a\", W/\"b\"", "\"b\""));
  EXPECT_TRUE(names_tag("*", "\"b\""));
  EXPECT_FALSE(names_tag("", "\"b\""));
  EXPECT_FALSE(names_tag("\"ab\"", "\"b\""));
}

}  // namespace
}  // namespace cairn::serve
