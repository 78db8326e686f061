// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "libdockerfile/dockerfile.h"
#include "libdockerfile/parse/arguments.h"
#include "libdockerfile/parse/heredoc.h"
#include "libdockerfile/parse/shell_words.h"

namespace cairn::dockerfile {
namespace {

const Environment environment{{"A", "old"}, {"A", "one.two.three"}, {"EMPTY", ""}, {"W", "x y"}};

std::string expand(std::string_view text, const WordRules& rules = {}) {
  const auto out = expand_words(text, environment, rules);
  return out ? out->text : "error: " + out.error().message;
}

TEST(ShellWords, EveryModifierIsThatOfBuildKit) {
  EXPECT_EQ(expand("$A-${A}"), "one.two.three-one.two.three");
  EXPECT_EQ(expand("${N:-d} ${N-d} ${EMPTY:-d} ${EMPTY-d}"), "d d d ");
  EXPECT_EQ(expand("${N:+d} ${N+d} ${EMPTY:+d} ${EMPTY+d} ${A:+d}"), "   d d");
  EXPECT_EQ(expand("${A#*.} ${A##*.} ${A%.*} ${A%%.*}"), "two.three three one.two one");
  EXPECT_EQ(expand("${A#?ne} ${A%x}"), ".two.three one.two.three");
  EXPECT_EQ(expand("${A/./-} ${A//./-} ${A//t*e/}"), "one-two.three one-two-three one.");
  EXPECT_EQ(expand("${N:-${A}}"), "one.two.three");
  EXPECT_EQ(expand("$ $$ ${N} $1x"), "$   x");
}

TEST(ShellWords, QuotesAndEscapesAreTakenAway) {
  EXPECT_EQ(expand(R"('$A' "$EMPTY" \$A "\$A" "a\b" a\b)"), R"($A  $A $A a\b ab)");
  EXPECT_EQ(expand("`$A \\x", {.escape = '`'}), "$A \\x");
  EXPECT_EQ(expand(R"('a' "b" \c)", {.raw_quotes = true, .raw_escapes = true}), R"('a' "b" \c)");
  EXPECT_EQ(expand(R"('$EMPTY')", {.skip_quotes = true}), "''");
  EXPECT_EQ(expand("$N ${N} ${N:-x} $EMPTY", {.skip_unset = true}), "$N ${N} ${N:-x} ");
}

TEST(ShellWords, WhatIsWrongIsSaidAsBuildKitSaysIt) {
  EXPECT_EQ(expand("${N:?}"), "error: failed to process \"${N:?}\": N: is not allowed to be unset");
  EXPECT_EQ(expand("${EMPTY:?no}"), "error: failed to process \"${EMPTY:?no}\": EMPTY: no");
  EXPECT_EQ(expand("${A"), "error: failed to process \"${A\": unsupported modifier () in substitution");
  EXPECT_EQ(expand("${A:-x"), "error: failed to process \"${A:-x\": syntax error: missing '}'");
  EXPECT_EQ(expand("${}"), "error: failed to process \"${}\": syntax error: bad substitution");
  EXPECT_EQ(expand("${A:#x}"), "error: failed to process \"${A:#x}\": unsupported modifier (:#) in substitution");
  EXPECT_EQ(expand("'a"),
            "error: failed to process \"'a\": unexpected end of statement while looking for matching single-quote");
  EXPECT_EQ(expand("\"a"),
            "error: failed to process \"\\\"a\": unexpected end of statement while looking for matching double-quote");
}

TEST(ShellWords, ReportsWhatWasSetAndWhatNothingStoodFor) {
  const auto out = expand_words("$A ${B} ${C:-x} $D", environment, {});
  ASSERT_TRUE(out);
  EXPECT_EQ(out->matched, (std::set<std::string>{"A"}));
  EXPECT_EQ(out->unmatched, (std::set<std::string>{"B", "D"}));
}

TEST(ShellWords, AreCutWhereWhiteSpaceIsNotQuoted) {
  const auto out = expand_words(R"(a "b c" $W  d\ e '')", environment, {});
  ASSERT_TRUE(out);
  EXPECT_EQ(out->words, (std::vector<std::string>{"a", "b c", "x", "y", "d e"}));
}

TEST(ShellWords, NestingAndGrowthHaveAnEnd) {
  std::string deep;
  for (int i = 0; i < 10000; ++i) deep += "${N:-";
  EXPECT_NE(expand(deep).find("nested deeper"), std::string::npos);
  const Environment large{{"X", std::string(1000, 'x')}};
  std::string many;
  for (int i = 0; i < 2000; ++i) many += "$X";
  EXPECT_FALSE(expand_words(many, large, {}));
}

TEST(Heredocs, AreWordsThatBeginWithTwoArrows) {
  const auto one = parse_heredoc("<<EOF");
  ASSERT_TRUE(one && *one);
  EXPECT_EQ((*one)->name, "EOF");
  EXPECT_TRUE((*one)->expand);
  const auto quoted = parse_heredoc("<<-\"E F\"");
  ASSERT_TRUE(quoted && *quoted);
  EXPECT_EQ((*quoted)->name, "E F");
  EXPECT_FALSE((*quoted)->expand);
  EXPECT_TRUE((*quoted)->chomp);
  for (const char* none : {"EOF", "<EOF", "<<", "<<<EOF", "<<a<b", "x<<EOF"})
    EXPECT_FALSE(parse_heredoc(none).value()) << none;
  EXPECT_EQ(parse_heredoc("3<<EOF").value()->name, "EOF");
  EXPECT_FALSE(parse_heredoc("<<E\\F").value()->expand);
  EXPECT_EQ(heredocs_of("cat <<A '<<B' <<-'C' > x")->size(), 2u);
  EXPECT_EQ(without_leading_tabs("\ta\n\t\tb\n"), "a\nb\n");
}

TEST(Arguments, AreListsTextsOrPairs) {
  EXPECT_TRUE(list_or_text(R"(["a", "b"])")->is_list);
  EXPECT_FALSE(list_or_text(R"(["a"] && b)")->is_list);
  EXPECT_FALSE(list_or_text(R"(["a", 'b'])")->is_list);
  EXPECT_FALSE(list_or_text(R"(["a", 1])"));
  EXPECT_EQ(key_values(R"(a=1 b="x y" c=)", "ENV", '\\')->size(), 3u);
  const auto legacy = key_values("a  b c=d", "ENV", '\\');
  ASSERT_TRUE(legacy);
  EXPECT_EQ(legacy->at(0).value, "b c=d");
  EXPECT_TRUE(legacy->at(0).legacy);
  EXPECT_EQ(key_values("a", "ENV", '\\').error().message, "ENV must have two arguments");
  EXPECT_EQ(key_values("a=1 b", "ENV", '\\').error().message,
            "Syntax error - can't find = in \"b\". Must be of the form: name=value");
  EXPECT_EQ(csv_fields(R"(type=bind,"a=x,y",b=""")").has_value(), false);
  EXPECT_EQ(csv_fields(R"(type=bind,"a=x,y",b)").value(), (std::vector<std::string>{"type=bind", "a=x,y", "b"}));
}

}  // namespace
}  // namespace cairn::dockerfile
