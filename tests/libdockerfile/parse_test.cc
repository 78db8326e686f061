// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "tests/libdockerfile/fixture.h"

namespace cairn::dockerfile {
namespace {

std::vector<std::string> args_of(const std::string& text) {
  const auto runs = Converted().convert(text).ops_of<solver::wire::ExecOp>();
  std::vector<std::string> lines;
  for (const auto& run : runs) lines.push_back(run.meta->args.back());
  return lines;
}

TEST(Parse, LineEndsMarksAndCommentsAreNoPartOfInstructions) {
  const std::vector<std::string> wanted{"a  b", "c"};
  EXPECT_EQ(args_of("FROM x\nRUN a \\\n b\nRUN c\n"), wanted);
  EXPECT_EQ(args_of("\xEF\xBB\xBF"
                    "FROM x\r\nRUN a \\\r\n b\r\nRUN c"),
            wanted);
  EXPECT_EQ(args_of("# c\nFROM x\nRUN a \\\n# in between\n   # and again\n\n b\n\n  RUN c\n"), wanted);
  EXPECT_EQ(args_of("# escape=`\nFROM x\nRUN a `  \n b\nRUN c"), wanted);
  EXPECT_EQ(args_of("FROM x\nRUN a\\\\\nRUN b\n"), (std::vector<std::string>{"a\\\\", "b"}));
}

TEST(Parse, HeredocsAreReadToTheirEndInOrder) {
  EXPECT_EQ(args_of("FROM x\nRUN <<E\na\n\tb\nE\nRUN <<-E\n\ta\n\t\tb\n\tE\n"),
            (std::vector<std::string>{"a\n\tb\n", "a\nb\n"}));
  EXPECT_EQ(args_of("FROM x\nRUN cat <<A 5<<B <<'C'\n1\nA\nB\n$2\nC\n"),
            (std::vector<std::string>{"cat <<A 5<<B <<'C'\n1\nA\nB\n$2\nC"}));
  const auto files =
      Converted().convert("FROM x\nARG V=v\nCOPY <<a <<'b' /d/\n$V \"q\"\na\n$V\nb\n").ops_of<solver::wire::FileOp>();
  ASSERT_EQ(files.size(), 3u);
  const auto data = [&](std::size_t i) {
    return std::get<solver::wire::FileActionMkFile>(files[i].actions[0].action).data.value;
  };
  EXPECT_EQ((std::set<std::string>{data(0), data(1)}), (std::set<std::string>{"v \"q\"\n", "$V\n"}));
}

struct Wrong {
  const char* text;
  const char* message;
  int line;
};

TEST(Parse, WhatIsWrongSaysWhereAndWhat) {
  const Wrong all[] = {
      {"", "the Dockerfile cannot be empty", 0},
      {"# only this\n", "file with no instructions", 1},
      {"FROM x\nCOPY a\n",
       "dockerfile parse error on line 2: COPY requires at least two arguments, but only one was provided. Destination "
       "could not be determined",
       2},
      {"FROM x\n\nCOPI a b\n", "dockerfile parse error on line 3: unknown instruction: COPI (did you mean COPY?)", 3},
      {"FROM x as 1\n",
       "dockerfile parse error on line 1: invalid name for build stage: \"1\", name can't start with a number or "
       "contain symbols",
       1},
      {"FROM x y\n", "dockerfile parse error on line 1: FROM requires either one or three arguments", 1},
      {"FROM x\nCOPY --frm=a b c\n", "dockerfile parse error on line 2: unknown flag: --frm (did you mean from?)", 2},
      {"FROM x\nCOPY --from b c\n", "dockerfile parse error on line 2: missing a value on flag: --from", 2},
      {"FROM x\nRUN --device=gpu a\n", "dockerfile parse error on line 2: unknown flag: --device", 2},
      {"FROM x\nRUN --network=n a\n", "dockerfile parse error on line 2: invalid network mode \"n\"", 2},
      {"FROM x\nONBUILD ONBUILD RUN a\n",
       "dockerfile parse error on line 2: Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed", 2},
      {"FROM x\nONBUILD from y\n", "dockerfile parse error on line 2: FROM isn't allowed as an ONBUILD trigger", 2},
      {"FROM x\nSHELL sh\n", "dockerfile parse error on line 2: SHELL requires the arguments to be in JSON form", 2},
      {"FROM x\nCMD [1]\n",
       "dockerfile parse error on line 2: when using JSON array syntax, arrays must be comprised of strings only", 2},
      {"FROM x\nHEALTHCHECK --interval=1us CMD a\n",
       "dockerfile parse error on line 2: Interval \"interval\" cannot be less than 1ms", 2},
      {"FROM x\nHEALTHCHECK --retries=-1 CMD a\n",
       "dockerfile parse error on line 2: --retries cannot be negative (-1)", 2},
      {"# escape=x\nFROM x\n", "invalid escape token 'x' does not match ` or \\", 1},
      {"# escape=`\n# escape=`\nFROM x\n", "only one escape parser directive can be used", 2},
      {"FROM x\nRUN a\nFROM y\nCOPY --from=7 a b\n", "invalid stage index 7", 4},
      {"FROM x\nCOPY --from=later a b\nFROM y AS later\n", "circular", 0},
      {"FROM x AS a\nCOPY --from=b /x /\nFROM x AS b\nCOPY --from=a /x /\n", "circular dependency detected on stage: a",
       4},
      {"FROM x\nRUN --mount=type=cach,target=/c a\n", "unsupported mount type \"cach\" (did you mean cache?)", 2},
      {"FROM x\nRUN --mount=type=cache,target=/ a\n", "invalid mount target \"/\"", 2},
      {"FROM x\nRUN --mount=from=$A,target=/m a\n",
       "'from' doesn't support variable expansion, define alias stage instead", 2},
      {"FROM x\nCOPY https://e.org/a /b\n", "source can't be a URL for COPY", 2},
      {"FROM x\nCOPY --chmod=9 a /b\n",
       "invalid chmod parameter: '9'. it should be octal string and between 0 and 07777", 2},
      {"FROM x\nSTOPSIGNAL NONE\n", "Invalid signal: NONE", 2},
      {"FROM x\nEXPOSE 99999\n", "invalid containerPort: 99999", 2},
      {"ARG A\nFROM $A\n", "base name ($A) should not be blank", 2},
      {"FROM UPPER\n", "failed to parse stage name \"UPPER\"", 1},
  };
  for (const Wrong& each : all) {
    Converted converted;
    converted.convert(each.text);
    if (std::string_view(each.message) == "circular") continue;  // the target does not need it
    EXPECT_TRUE(converted.error().starts_with(each.message)) << each.text << "\n got: " << converted.error();
    EXPECT_EQ(converted.diagnostics.error_lines.first, each.line) << each.text;
  }
}

TEST(Parse, AStageThatComesLaterCannotBeCopiedFrom) {
  Converted converted;
  converted.convert("FROM x AS first\nCOPY --from=later a b\nFROM y AS later\nFROM first\n");
  EXPECT_EQ(converted.error(),
            "cannot copy from stage \"later\", it needs to be defined before current stage \"first\"");
}

TEST(Parse, LinesAreShownAsBuildKitShowsThem) {
  EXPECT_EQ(excerpt("Dockerfile", "FROM alpine\nCOPY --nosuchflag . .\n", {2, 2}),
            "Dockerfile:2\n--------------------\n   1 |     FROM alpine\n   2 | >>> COPY --nosuchflag . .\n   3 |     "
            "\n--------------------\n");
  EXPECT_EQ(excerpt("Dockerfile", "a\n", {7, 7}), "");
}

TEST(Parse, EndlessContinuationsAndLongLinesHaveAnEnd) {
  std::string endless = "FROM x\nRUN a";
  for (int i = 0; i < 300000; ++i) endless += " \\\n x";
  endless += " \\\n";
  EXPECT_EQ(args_of(endless).size(), 1u);
  EXPECT_EQ(Converted().convert("FROM x\nRUN " + std::string(70000, 'a')).error(),
            "dockerfile line greater than maximum allowed size of 65535");
}

TEST(Parse, WhatIsNotUtf8MakesNoGraph) {
  const std::string error = Converted().convert("FROM x\nRUN a\xff\n").error();
  EXPECT_TRUE(error.starts_with("the Dockerfile makes no graph")) << error;
}

TEST(Parse, TheSyntaxDirectiveIsAnsweredByTheBuiltInFrontEnd) {
  Converted converted;
  converted.convert("# syntax=docker/dockerfile:1\nFROM x\n");
  ASSERT_EQ(converted.diagnostics.notes.size(), 1u);
  EXPECT_EQ(converted.diagnostics.notes[0],
            "# syntax= asks for the front end docker/dockerfile:1: the built-in one is used, nothing is fetched");
}

TEST(IgnoreFile, PatternsAreCleanAndCommentsGone) {
  EXPECT_EQ(parse_ignore_file("# c\n\n /a/ \r\n!./b//c\n**/x\n!\n"),
            (std::vector<std::string>{"a", "!b/c", "**/x", "!"}));
}

}  // namespace
}  // namespace cairn::dockerfile
