// SPDX-License-Identifier: Apache-2.0
#include "libcache/patterns/expression.h"

#include <gtest/gtest.h>

namespace cairn::cache {
namespace {

bool matches(std::string_view source, std::string_view text) {
  const auto expression = Expression::parse(source);
  EXPECT_TRUE(expression) << source;
  return expression && expression->matches_start_of(text);
}

TEST(Expression, ReadsWhatTranslatedPatternsHold) {
  EXPECT_TRUE(matches("^a[^/]*b$", "axxb"));
  EXPECT_FALSE(matches("^a[^/]*b$", "ax/b"));
  EXPECT_TRUE(matches("^(.*/)?b$", "b"));
  EXPECT_TRUE(matches("^(.*/)?b$", "x/y/b"));
  EXPECT_FALSE(matches("^(.*/)?b$", "xb"));
  EXPECT_TRUE(matches("^a/.*$", "a/"));
  EXPECT_TRUE(matches("^\\.\\+\\($", ".+("));
}

TEST(Expression, DotDoesNotMatchANewlineButANegatedClassDoes) {
  EXPECT_FALSE(matches("^.*$", "a\nb"));
  EXPECT_TRUE(matches("^[^/]*$", "a\nb"));
  EXPECT_FALSE(matches("^(.*/)?b$", "a\n/b"));
}

TEST(Expression, HasGosClasses) {
  EXPECT_TRUE(matches("^\\d\\D\\s\\S\\w\\W$", "1a aa-"));
  EXPECT_FALSE(matches("^\\s$", "\v"));
  EXPECT_TRUE(matches("^[[:space:]]$", "\v"));
  EXPECT_TRUE(matches("^[[:alpha:][:digit:]_]*$", "aZ09_"));
  EXPECT_FALSE(matches("^[[:^alpha:]]$", "a"));
  EXPECT_TRUE(matches("^[[:^alpha:]]$", "é"));
  EXPECT_TRUE(matches("^[^\\d]$", "x"));
  EXPECT_TRUE(matches("^[\\D]$", "x"));
  EXPECT_FALSE(matches("^[\\D]$", "7"));
  EXPECT_TRUE(matches("^[]a]$", "]"));
  EXPECT_TRUE(matches("^[a-]$", "-"));
  EXPECT_TRUE(matches("^[[:al]$", ":")) << "no name without its end";
}

TEST(Expression, HasGosEscapesAndAssertions) {
  EXPECT_TRUE(matches("^\\x41\\101\\0\\n\\t\\*$", std::string_view("AA\0\n\t*", 6)));
  EXPECT_TRUE(matches("^\\Qa.[\\E[^/]$", "a.[x"));
  EXPECT_TRUE(matches("^\\Qab$", "ab$anything")) << "an open quotation swallows the end";
  EXPECT_TRUE(matches("^a\\b/\\bb$", "a/b"));
  EXPECT_TRUE(matches("^a\\Bb\\z$", "ab"));
  EXPECT_FALSE(matches("^a\\bb$", "ab"));
  EXPECT_TRUE(matches("^\\Aa$", "a"));
  EXPECT_FALSE(matches("^a^b$", "a^b")) << "a caret inside is an assertion that fails";
}

TEST(Expression, RefusesWhatGoRefuses) {
  for (const char* source : {"[",   "[a",  "[z-a]", "[[:nope:]]", "\\", "\\q", "\\1", "\\8",  "\\xg1", "\\x4", "\\C",
                             "\\Z", "\\é", "*",     "a**",        "(",  ")",   "a|b", "a{2}", "[a]**", "[\\"}) {
    const auto expression = Expression::parse(source);
    ASSERT_FALSE(expression) << source;
    EXPECT_EQ(expression.error().code, base::ErrorCode::invalid_argument);
  }
}

TEST(Expression, RefusesUnicodeClassesWhichAreNotOffered) {
  EXPECT_FALSE(Expression::parse("^\\pL$"));
  EXPECT_FALSE(Expression::parse("^[\\pL]$"));
}

TEST(Expression, ReadsBadBytesAsTheReplacementRune) {
  EXPECT_TRUE(matches("^\xef\xbf\xbd$", "\xff"));
  EXPECT_TRUE(matches("^[^/]$", "\xff"));
  EXPECT_FALSE(matches("^[^/]$", "\xff\xff"));
}

TEST(Expression, NestedChoicesCostNoMoreThanExpressionTimesText) {
  std::string source = "^";
  for (int i = 0; i < 200; ++i) source += "(.*/)?[^/]*a[^/]*";
  std::string text;
  for (int i = 0; i < 500; ++i) text += "aaa/";
  EXPECT_TRUE(matches(source + "$", text + "a"));
  EXPECT_FALSE(matches(source + "b$", text));
}

}  // namespace
}  // namespace cairn::cache
