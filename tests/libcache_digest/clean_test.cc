// SPDX-License-Identifier: Apache-2.0
#include "libcache/patterns/clean.h"

#include <gtest/gtest.h>

#include "libcache/patterns/utf8.h"

namespace cairn::cache {
namespace {

TEST(CleanPath, IsThatOfGo) {
  EXPECT_EQ(clean_path(""), ".");
  EXPECT_EQ(clean_path("."), ".");
  EXPECT_EQ(clean_path("/"), "/");
  EXPECT_EQ(clean_path("//a///b//"), "/a/b");
  EXPECT_EQ(clean_path("a/./b/."), "a/b");
  EXPECT_EQ(clean_path("a/.."), ".");
  EXPECT_EQ(clean_path("../../a/../b"), "../../b");
  EXPECT_EQ(clean_path("/../a"), "/a");
  EXPECT_EQ(clean_path("..."), "...");
}

TEST(CleanRooted, NeverLeavesTheRootWhichIsEmpty) {
  EXPECT_EQ(clean_rooted(""), "");
  EXPECT_EQ(clean_rooted("/"), "");
  EXPECT_EQ(clean_rooted("../.."), "");
  EXPECT_EQ(clean_rooted("a/../../b/"), "/b");
}

TEST(BaseName, IsThatOfGo) {
  EXPECT_EQ(base_name(""), ".");
  EXPECT_EQ(base_name("///"), "/");
  EXPECT_EQ(base_name("/a/b//"), "b");
  EXPECT_EQ(base_name("a"), "a");
  EXPECT_EQ(base_name("a/.."), "..");
}

TEST(DecodeRune, TakesBadBytesOneByOne) {
  EXPECT_EQ(decode_rune("").width, 0u);
  EXPECT_EQ(decode_rune("a").value, U'a');
  EXPECT_EQ(decode_rune("é").value, U'é');
  EXPECT_EQ(decode_rune("日").width, 3u);
  EXPECT_EQ(decode_rune("😀").value, U'😀');
  EXPECT_FALSE(decode_rune("\xef\xbf\xbd").is_invalid()) << "U+FFFD itself is a rune";
  for (const char* bad : {"\x80", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80",
                          "\xf8\x88\x80\x80\x80", "\xe6\x97", "\xff"}) {
    EXPECT_TRUE(decode_rune(bad).is_invalid());
  }
}

TEST(AppendRune, IsUndoneByDecodeRune) {
  for (const char32_t rune : {U'\0', U'a', char32_t(0x7f), char32_t(0x80), char32_t(0x7ff), char32_t(0x800),
                              char32_t(0xffff), char32_t(0x10000), last_rune}) {
    std::string text;
    append_rune(text, rune);
    EXPECT_EQ(decode_rune(text).value, rune);
    EXPECT_EQ(decode_rune(text).width, text.size());
  }
}

}  // namespace
}  // namespace cairn::cache
