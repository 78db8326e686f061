// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "libcache/pattern.h"

namespace cairn::cache {
namespace {

using Patterns = std::vector<std::string>;

PatternList compiled(const Patterns& patterns) {
  auto list = PatternList::compile(patterns);
  EXPECT_TRUE(list) << (list ? "" : list.error().message);
  return list ? *std::move(list) : PatternList();
}

// Without knowledge of the parents.
bool matches(const Patterns& patterns, std::string_view path) {
  PatternList::MatchInfo info;
  const auto result = compiled(patterns).matches(path, {}, info);
  EXPECT_TRUE(result) << path;
  return result.value_or(false);
}

// From the top directory down, each with the results of the one above.
bool matches_walking(const Patterns& patterns, std::string_view path) {
  const PatternList list = compiled(patterns);
  PatternList::MatchInfo info;
  bool matched = false;
  for (std::size_t end = path.find('/');; end = path.find('/', end + 1)) {
    PatternList::MatchInfo here;
    const auto result = list.matches(path.substr(0, end), info, here);
    EXPECT_TRUE(result);
    matched = result.value_or(false);
    info = here;
    if (end == std::string_view::npos) return matched;
  }
}

TEST(PatternList, AMatchedDirectoryMatchesWhatIsBelowIt) {
  for (const auto& walk : {matches, matches_walking}) {
    EXPECT_TRUE(walk({"a"}, "a"));
    EXPECT_TRUE(walk({"a"}, "a/b/c"));
    EXPECT_FALSE(walk({"a"}, "b/a"));
    EXPECT_FALSE(walk({"a"}, "ab"));
    EXPECT_TRUE(walk({"a*"}, "abc/d"));
    EXPECT_TRUE(walk({"*/b"}, "a/b/c"));
    EXPECT_FALSE(walk({"*/b"}, "x/a/b"));
  }
}

TEST(PatternList, TwoStarsStandForAnyNumberOfDirectories) {
  EXPECT_TRUE(matches({"**"}, "a/b"));
  EXPECT_TRUE(matches({"**"}, ""));
  EXPECT_TRUE(matches({"**/b"}, "b"));
  EXPECT_TRUE(matches({"**/b"}, "x/y/b"));
  EXPECT_FALSE(matches({"**/b"}, "xb"));
  EXPECT_TRUE(matches({"**b"}, "x/yb"));
  EXPECT_TRUE(matches({"a/**"}, "a/b/c"));
  EXPECT_FALSE(matches({"a/**"}, "a"));
  EXPECT_TRUE(matches({"a/**/d"}, "a/d"));
  EXPECT_TRUE(matches({"a/**/d"}, "a/b/c/d"));
  EXPECT_TRUE(matches({"**/*.go"}, "x/y/main.go"));
  EXPECT_TRUE(matches({"**/**/*.txt"}, "a.txt"));
  EXPECT_TRUE(matches({"**/x/**"}, "a/x/b"));
  EXPECT_FALSE(matches({"**/x/**"}, "a/x"));
  EXPECT_TRUE(matches({"a**"}, "abc/d")) << "at the end two stars are a prefix";
}

TEST(PatternList, TheLastPatternThatMatchesWins) {
  EXPECT_FALSE(matches({"a", "!a/b"}, "a/b"));
  EXPECT_FALSE(matches({"a", "!a/b"}, "a/b/c"));
  EXPECT_TRUE(matches({"a", "!a/b"}, "a/c"));
  EXPECT_TRUE(matches({"a", "!a/b", "a/b/c"}, "a/b/c"));
  EXPECT_FALSE(matches({"!a"}, "a"));
  EXPECT_FALSE(matches({"!a", "b"}, "a"));
  EXPECT_TRUE(matches({"**", "!**/keep"}, "x/drop"));
  EXPECT_FALSE(matches({"**", "!**/keep"}, "x/keep/y"));
  EXPECT_FALSE(matches_walking({"**", "!**/keep"}, "x/keep/y"));
}

TEST(PatternList, PatternsAreCleaned) {
  EXPECT_TRUE(matches({"  a/./b//  "}, "a/b"));
  EXPECT_TRUE(matches({"\xc2\xa0\xe3\x80\x80"
                       "a\xe2\x80\xa8"},
                      "a"))
      << "any white space of Unicode";
  EXPECT_FALSE(matches({"/a"}, "a"));
  EXPECT_TRUE(matches({"!a/../b"}, "b")) << "the mark takes part in the cleaning";
  EXPECT_TRUE(compiled({"", "  ", "\t"}).empty());
  EXPECT_TRUE(compiled({"a", "!b"}).has_exclusions());
  EXPECT_FALSE(compiled({"a", "b!"}).has_exclusions());
  EXPECT_FALSE(matches({"."}, "a"));
}

TEST(PatternList, OtherSignsStandForThemselves) {
  EXPECT_TRUE(matches({"a.b+c(d)|{e}$"}, "a.b+c(d)|{e}$"));
  EXPECT_TRUE(matches({"a.b*"}, "a.bc"));
  EXPECT_FALSE(matches({"a.b*"}, "axbc"));
  EXPECT_TRUE(matches({"\\*x"}, "*x"));
  EXPECT_FALSE(matches({"\\*x"}, "yx"));
  EXPECT_TRUE(matches({"a\\?"}, "a?"));
  EXPECT_TRUE(matches({"[ab]c"}, "bc"));
  EXPECT_FALSE(matches({"[^ab]c"}, "bc"));
  EXPECT_TRUE(matches({"x\xff*"}, "x\xffy"));
  EXPECT_TRUE(matches({"x\xff*"}, "x\xfey")) << "all bad bytes are the same rune to an expression";
  EXPECT_FALSE(matches({"x\xff"}, "x\xfe")) << "but not to a comparison";
  EXPECT_TRUE(matches({"\xef\xbb\xbf*y"}, "xy")) << "a byte order mark at the start is dropped";
}

TEST(PatternList, ExpressionsShineThrough) {
  EXPECT_TRUE(matches({"\\d\\d"}, "42"));
  EXPECT_TRUE(matches({"[[:upper:]]x"}, "Ax"));
  EXPECT_TRUE(matches({"[*]"}, "//]")) << "the star between brackets becomes a class of its own";
  EXPECT_FALSE(matches({"[*]"}, "*"));
}

TEST(PatternList, BadSyntaxIsAnErrorOfTheList) {
  for (const char* pattern : {"[", "a[", "!", "!  ", "\\", "[]a]", "![", "[a-]"}) {
    const auto list = PatternList::compile({"fine", pattern});
    ASSERT_FALSE(list) << pattern;
    EXPECT_EQ(list.error().code, base::ErrorCode::invalid_argument);
  }
}

TEST(PatternList, AMeaninglessPatternIsAnErrorOnlyWhenItIsTried) {
  const PatternList list = compiled({"a", "[z-a]"});
  PatternList::MatchInfo info;
  EXPECT_TRUE(list.matches("a", {}, info).value_or(false)) << "the first pattern decides";
  for (int i = 0; i < 2; ++i) {
    const auto result = list.matches("b", {}, info);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().code, base::ErrorCode::invalid_argument);
  }
  EXPECT_FALSE(matches({"![z-a]"}, "b")) << "nothing to take back, so it is not tried";
}

TEST(PatternList, RefusesTheResultsOfAnotherList) {
  PatternList::MatchInfo info;
  EXPECT_FALSE(compiled({"a"}).matches("a", {{true, false}}, info));
}

TEST(PatternList, HostilePatternsCostNoMoreThanPatternTimesPath) {
  std::string pattern, path;
  for (int i = 0; i < 300; ++i) pattern += "**/*a*";
  for (int i = 0; i < 100; ++i) path += "aaaaaaaaaaaa/";
  const PatternList::MatchInfo parent_unmatched{{false}};
  for (const std::string& hostile : {pattern + "b", std::string(5'000, '*') + "b"}) {
    PatternList::MatchInfo info;
    EXPECT_FALSE(compiled({hostile}).matches(path + "c", parent_unmatched, info).value());
  }
}

}  // namespace
}  // namespace cairn::cache
