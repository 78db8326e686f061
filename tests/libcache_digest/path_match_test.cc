// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "libcache/pattern.h"

namespace cairn::cache {
namespace {

bool matches(std::string_view pattern, std::string_view name) {
  const auto result = path_match(pattern, name);
  EXPECT_TRUE(result) << pattern;
  return result.value_or(false);
}

TEST(PathMatch, TextMatchesItselfOnly) {
  EXPECT_TRUE(matches("", ""));
  EXPECT_TRUE(matches("/a/b", "/a/b"));
  EXPECT_FALSE(matches("/a/b", "/a/b/"));
  EXPECT_FALSE(matches("/a", "/a/b"));
  EXPECT_FALSE(matches("", "a"));
  EXPECT_FALSE(matches("a", ""));
}

TEST(PathMatch, StarStaysInItsComponent) {
  EXPECT_TRUE(matches("*", ""));
  EXPECT_TRUE(matches("/x*", "/x"));
  EXPECT_TRUE(matches("/x*z", "/xyyz"));
  EXPECT_TRUE(matches("/*/c", "/ab/c"));
  EXPECT_FALSE(matches("/x*z", "/x/z"));
  EXPECT_FALSE(matches("/*", "/a/b"));
  EXPECT_FALSE(matches("**", "a/b")) << "two stars are one";
  EXPECT_TRUE(matches("*b*d", "abcbd"));
  EXPECT_TRUE(matches("*ab", "aab")) << "the last chunk must reach the end";
}

TEST(PathMatch, QuestionMarkIsOneRuneOrOneBadByte) {
  EXPECT_TRUE(matches("?", "é"));
  EXPECT_TRUE(matches("?", "😀"));
  EXPECT_FALSE(matches("??", "é"));
  EXPECT_TRUE(matches("?", "\xff"));
  EXPECT_TRUE(matches("??", "\xc3("));
  EXPECT_FALSE(matches("a?b", "a/b"));
}

TEST(PathMatch, BracketsMatchRangesAndEvenSlashes) {
  EXPECT_TRUE(matches("[a-c]", "b"));
  EXPECT_FALSE(matches("[a-c]", "d"));
  EXPECT_TRUE(matches("[^a-c]", "d"));
  EXPECT_TRUE(matches("[αβ]", "β"));
  EXPECT_TRUE(matches("[\\]]", "]"));
  EXPECT_TRUE(matches("[\\-x]", "-"));
  EXPECT_TRUE(matches("[*]", "*")) << "a star between brackets is a character";
  EXPECT_FALSE(matches("[z-a]", "m")) << "an empty range is no error";
  EXPECT_TRUE(matches("a[^b]c", "a/c"));
  EXPECT_FALSE(matches("[^b]", "")) << "brackets need a rune";
}

TEST(PathMatch, BackslashTakesTheNextCharacterAsItIs) {
  EXPECT_TRUE(matches("\\*", "*"));
  EXPECT_FALSE(matches("\\*", "x"));
  EXPECT_TRUE(matches("a\\b", "ab"));
  EXPECT_TRUE(matches("\\\\", "\\"));
}

TEST(PathMatch, BadPatternsAreErrorsWhateverTheName) {
  for (const char* pattern :
       {"[", "[a", "[^", "[]a]", "[-a]", "[a-]", "[a-b-c]", "\\", "a\\", "x[", "*[", "b*c[", "[\xff]"}) {
    for (const char* name : {"", "a", "zzz", "x/y"}) {
      const auto result = path_match(pattern, name);
      ASSERT_FALSE(result) << pattern << " on " << name;
      EXPECT_EQ(result.error().code, base::ErrorCode::invalid_argument);
    }
  }
}

TEST(PathMatch, ManyStarsCostNoMoreThanPatternTimesName) {
  std::string pattern, name(20'000, 'a');
  for (int i = 0; i < 1'000; ++i) pattern += "*a";
  EXPECT_TRUE(matches(pattern, name));
  EXPECT_FALSE(matches(pattern + "*b", name));
}

TEST(HasWildcard, SeesUnescapedOnesOnly) {
  EXPECT_TRUE(has_wildcard("a*"));
  EXPECT_TRUE(has_wildcard("a?"));
  EXPECT_TRUE(has_wildcard("a["));
  EXPECT_TRUE(has_wildcard("\\\\*"));
  EXPECT_FALSE(has_wildcard("\\*\\?\\["));
  EXPECT_FALSE(has_wildcard("a]b\\"));
}

}  // namespace
}  // namespace cairn::cache
