// SPDX-License-Identifier: Apache-2.0
// What is asked of a Dockerfile beside its images: targets, outlines, and what the checks have found.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/libdockerfile/fixture.h"

namespace cairn::dockerfile {
namespace {

using nlohmann::json;
using Argument = Outline::Argument;
using Secret = Outline::Secret;

Outline outline_of(const std::string& text, std::initializer_list<Converted::Given> given = {}) {
  Converted converted(given);
  converted.convert(text);
  EXPECT_EQ(converted.error(), "");
  return converted.result ? converted.result->outline : Outline();
}

TEST(Targets, AreTheStagesWithWhatTheirCommentsSay) {
  Diagnostics diagnostics;
  const auto list = list_targets(
      "# b builds it\nFROM --platform=$BUILDPLATFORM x AS b\n# something else\nFROM b AS tests\nFROM b\n", diagnostics);
  ASSERT_TRUE(list);
  ASSERT_EQ(list->size(), 3u);
  EXPECT_EQ((*list)[0].name, "b");
  EXPECT_EQ((*list)[0].description, "builds it");
  EXPECT_EQ((*list)[0].base, "x");
  EXPECT_EQ((*list)[0].platform, "$BUILDPLATFORM");
  EXPECT_FALSE((*list)[0].is_default);
  EXPECT_EQ((*list)[1].description, "") << "it does not begin with the name";
  EXPECT_EQ((*list)[2].name, "");
  EXPECT_TRUE((*list)[2].is_default);
  EXPECT_EQ((*list)[2].lines, (Lines{5, 5}));
}

TEST(Targets, AnErrorOfTheTextHasItsLines) {
  Diagnostics diagnostics;
  const auto list = list_targets("FROM x\nCOPI a b\n", diagnostics);
  ASSERT_FALSE(list);
  EXPECT_EQ(diagnostics.error_lines, (Lines{2, 2}));
}

TEST(Outlines, HaveArgumentsWithDefaultsAndDescriptions) {
  const std::string text =
      "# VERSION is what is built\n"
      "ARG VERSION=1.$MINOR\n"
      "ARG UNUSED=x\n"
      "ARG IMAGE=base:$VERSION\n"
      "# work makes it\n"
      "FROM $IMAGE AS work\n"
      "# MODE says how\n"
      "ARG MODE=fast\n"
      "ARG EMPTY\n"
      "ARG TARGETPLATFORM\n"
      "RUN true\n";
  const Outline outline = outline_of(text);
  EXPECT_EQ(outline.name, "work");
  EXPECT_EQ(outline.description, "makes it");
  EXPECT_EQ(outline.arguments, (std::vector<Argument>{{"VERSION", "is what is built", "1.", {2, 2}},
                                                      {"IMAGE", "", "base:1.", {4, 4}},
                                                      {"MODE", "says how", "fast", {8, 8}},
                                                      {"EMPTY", "", "", {9, 9}}}));
  const Outline given = outline_of(text, {{"build-arg:MODE", "slow"}, {"build-arg:IMAGE", "other"}});
  EXPECT_EQ(given.arguments,
            (std::vector<Argument>{
                {"IMAGE", "", "other", {4, 4}}, {"MODE", "says how", "slow", {8, 8}}, {"EMPTY", "", "", {9, 9}}}))
      << "what the default was made of is not used";
}

TEST(Outlines, AnArgumentFromBeforeTheFirstStageKeepsItsPlace) {
  const std::string text = "# WHO is greeted\nARG WHO=world\nARG LATER\nFROM x\nARG WHO\nARG LATER\n";
  EXPECT_EQ(outline_of(text).arguments,
            (std::vector<Argument>{{"WHO", "is greeted", "world", {2, 2}}, {"LATER", "", "", {3, 3}}}));
  EXPECT_EQ(outline_of(text, {{"build-arg:WHO", "all"}}).arguments,
            (std::vector<Argument>{{"LATER", "", "", {3, 3}}, {"WHO", "", "all", {5, 5}}}));
}

TEST(Outlines, AreOfWhatTheTargetNeeds) {
  const std::string text =
      "FROM x AS base\nARG IN_BASE=1\n"
      "FROM y AS other\nARG OF_OTHER=2\nRUN --mount=type=secret,id=token true\n"
      "FROM z AS unneeded\nARG NOT_THIS=3\nRUN --mount=type=ssh true\n"
      "FROM w AS mounted\nARG OF_MOUNTED=4\nARG IN_BASE=other\n"
      "FROM base AS final\nCOPY --from=other /a /a\nRUN --mount=from=mounted,target=/m true\n"
      "FROM scratch AS nothing\n";
  const Outline outline = outline_of(text, {{"target", "final"}});
  EXPECT_EQ(outline.name, "final");
  EXPECT_EQ(outline.arguments,
            (std::vector<Argument>{
                {"IN_BASE", "", "1", {2, 2}}, {"OF_OTHER", "", "2", {4, 4}}, {"OF_MOUNTED", "", "4", {10, 10}}}))
      << "of one name what is nearer to the target counts";
  EXPECT_EQ(outline.secrets, (std::vector<Secret>{{"token", false, {5, 5}}}));
  EXPECT_TRUE(outline.ssh.empty());
  const Outline last = outline_of(text);
  EXPECT_EQ(last.name, "nothing");
  EXPECT_TRUE(last.arguments.empty() && last.secrets.empty() && last.caches.empty());
}

TEST(Outlines, HaveTheSecretsAgentsAndCachesOfMounts) {
  const Outline outline = outline_of(
      "FROM x AS a\n"
      "RUN --mount=type=secret,id=token --mount=type=secret,target=/root/.npmrc,required true\n"
      "RUN --mount=type=secret,id=token,required=true --mount=type=ssh --mount=type=ssh,id=deploy,required \\\n"
      "  --mount=type=cache,target=/root/.cache/ --mount=type=cache,id=apt,target=/var/cache/apt true\n"
      "RUN --mount=type=bind,target=/src --mount=type=tmpfs,target=/t true\n");
  EXPECT_EQ(outline.secrets, (std::vector<Secret>{{".npmrc", true, {2, 2}}, {"token", true, {2, 2}}}));
  EXPECT_EQ(outline.ssh, (std::vector<Secret>{{"default", false, {3, 4}}, {"deploy", true, {3, 4}}}));
  EXPECT_EQ(outline.caches, (std::vector<Outline::CacheMount>{{"/root/.cache", {3, 4}}, {"apt", {3, 4}}}));
}

TEST(Outlines, AChainOfTenThousandStagesIsLinearWork) {
  std::string text = "ARG A=1\nARG B=$A\nFROM x AS s0\nARG B\n";
  for (int i = 1; i < 10000; ++i) text += fmt::format("FROM s{} AS s{}\n", i - 1, i);
  EXPECT_EQ(outline_of(text).arguments, (std::vector<Argument>{{"A", "", "1", {1, 1}}, {"B", "", "1", {2, 2}}}));
}

TEST(Outlines, ArePrintedAsTheFrontEndPrintsThem) {
  const std::string text = "# t is it\nFROM x AS t\n# A b\nARG A=1\nRUN --mount=type=secret,id=s,required \\\n true\n";
  EXPECT_EQ(print_outline(outline_of(text), text), R"({
  "name": "t",
  "description": "is it",
  "args": [
    {
      "name": "A",
      "description": "b",
      "value": "1",
      "location": {
        "ranges": [
          {
            "start": {
              "line": 4
            },
            "end": {
              "line": 4
            }
          }
        ]
      }
    }
  ],
  "secrets": [
    {
      "name": "s",
      "required": true,
      "location": {
        "ranges": [
          {
            "start": {
              "line": 5
            },
            "end": {
              "line": 5
            }
          },
          {
            "start": {
              "line": 6
            },
            "end": {
              "line": 6
            }
          }
        ]
      }
    }
  ],
  "sources": [
    "IyB0IGlzIGl0CkZST00geCBBUyB0CiMgQSBiCkFSRyBBPTEKUlVOIC0tbW91bnQ9dHlwZT1zZWNyZXQsaWQ9cyxyZXF1aXJlZCBcCiB0cnVlCg=="
  ]
})");
  const json other =
      json::parse(print_outline(outline_of("FROM x\nRUN --mount=type=ssh --mount=type=cache,target=/c true\n"), ""));
  EXPECT_FALSE(other.contains("name") || other.contains("args") || other.contains("secrets"));
  EXPECT_EQ(other.at("ssh")[0].at("name"), "default");
  EXPECT_FALSE(other.at("ssh")[0].contains("required"));
  EXPECT_EQ(other.at("cache")[0].at("ID"), "/c");
}

TEST(Lint, IsPrintedWithTheSourceAndWhatTheBuildFailedWith) {
  Converted converted;
  const std::string text = "FROM x as a\nRUN true\n";
  converted.convert(text);
  converted.diagnostics.text = text;
  const json clean = json::parse(print_lint(converted.diagnostics, "my.Dockerfile", std::nullopt));
  ASSERT_EQ(clean.at("warnings").size(), 1u);
  EXPECT_EQ(clean.at("warnings")[0],
            json::parse(R"({"ruleName": "FromAsCasing", "description": "FROM and its AS are written in one case",
                            "url": "https://docs.docker.com/go/dockerfile/rule/from-as-casing/",
                            "detail": "'as' and 'FROM' keywords' casing do not match",
                            "location": {"ranges": [{"start": {"line": 1}, "end": {"line": 1}}]}})"));
  EXPECT_EQ(
      clean.at("sources"),
      json::parse(
          R"([{"filename": "my.Dockerfile", "data": "RlJPTSB4IGFzIGEKUlVOIHRydWUK", "language": "Dockerfile"}])"));
  EXPECT_FALSE(clean.contains("buildError"));

  Converted failed;
  failed.convert("FROM x\nCOPI a b\n");
  const json lint = json::parse(print_lint(failed.diagnostics, "Dockerfile", failed.result.error()));
  EXPECT_EQ(lint.at("buildError").at("message"), failed.error());
  EXPECT_EQ(lint.at("buildError").at("location"),
            json::parse(R"({"ranges": [{"start": {"line": 2}, "end": {"line": 2}}]})"));
  EXPECT_TRUE(lint.at("warnings").empty() && lint.at("sources").empty());
}

TEST(Subrequests, AreDescribedByNameAndVersion) {
  const json all = json::parse(print_subrequests());
  ASSERT_EQ(all.size(), 4u);
  EXPECT_EQ(all[0].at("name"), "frontend.outline");
  EXPECT_EQ(all[0].at("opts")[0].at("name"), "target");
  EXPECT_EQ(all[3].at("name"), "frontend.subrequests.describe");
  for (const json& each : all) {
    EXPECT_EQ(each.at("type"), "rpc");
    EXPECT_EQ(each.at("version"), "1.0.0");
    EXPECT_EQ(each.at("metadata")[0].at("name"), "result.json");
  }
}

}  // namespace
}  // namespace cairn::dockerfile
