// SPDX-License-Identifier: Apache-2.0
// What a source policy lets through, and into what it changes the rest.
#include "libsolver/source_policy.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libsolver/wire/codec.h"
#include "tests/support/must.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using test::must;
using testing::HasSubstr;

wire::SourceOp source(std::string identifier, std::map<std::string, std::string> attrs = {}) {
  wire::SourceOp made;
  made.identifier = std::move(identifier);
  made.attrs = std::move(attrs);
  return made;
}

std::vector<SourcePolicy> policies(const std::vector<std::string>& rules) {
  std::vector<SourcePolicy> all;
  for (const std::string& each : rules) all.push_back(must(SourcePolicy::parse(R"({"version": 1, "rules": [)" + each + "]}")));
  return all;
}

// What the source has become; "denied" if it was.
std::string outcome(const std::string& rules, wire::SourceOp asked) {
  const auto changed = apply_source_policies(policies({rules}), asked);
  if (!changed) {
    EXPECT_EQ(changed.error().code, ErrorCode::invalid_argument);
    return changed.error().message.find("is denied") != std::string::npos ? "denied" : changed.error().message;
  }
  return asked.identifier;
}

TEST(SourcePolicy, TheLastRuleThatMatchesWins) {
  const std::string deny = R"({"action": "DENY", "selector": {"identifier": "https://*"}})";
  const std::string allow = R"({"action": "ALLOW", "selector": {"identifier": "https://good.example/*"}})";
  EXPECT_EQ(outcome(deny, source("https://bad.example/x")), "denied");
  EXPECT_EQ(outcome(deny, source("http://bad.example/x")), "http://bad.example/x");
  EXPECT_EQ(outcome(deny + "," + allow, source("https://good.example/x")), "https://good.example/x");
  EXPECT_EQ(outcome(allow + "," + deny, source("https://good.example/x")), "denied");
}

TEST(SourcePolicy, EachPolicyHasToLetItThrough) {
  const auto all = policies({R"({"action": "DENY", "selector": {"identifier": "local://*"}})",
                             R"({"action": "ALLOW", "selector": {"identifier": "local://*"}})"});
  wire::SourceOp asked = source("local://src");
  EXPECT_FALSE(apply_source_policies(all, asked));
}

TEST(SourcePolicy, ConvertsByWhatThePatternMatched) {
  EXPECT_EQ(outcome(R"({"action": 2, "selector": {"identifier": "docker-image://docker.io/*:*"},
                        "updates": {"identifier": "docker-image://mirror.example/$1:${2}-pinned$$"}})",
                    source("docker-image://docker.io/library/a:b:1")),
            "docker-image://mirror.example/library/a:b:1-pinned$");
  EXPECT_EQ(outcome(R"({"action": "CONVERT", "selector": {"identifier": "^https://(?P<host>[a-z]+)\\.example/", "match_type": "REGEX"},
                        "updates": {"identifier": "https://cache/${host}"}})",
                    source("https://one.example/file")),
            "https://cache/one");
  EXPECT_EQ(outcome(R"({"action": "CONVERT", "selector": {"identifier": "git://a", "match_type": 1}, "updates": {"identifier": "git://$1"}})",
                    source("git://a")),
            "git://$1");
}

TEST(SourcePolicy, AttributesAreSetAndAskedFor) {
  const auto pin = policies({R"({"action": "CONVERT", "selector": {"identifier": "https://x/f"},
                                 "updates": {"attrs": {"http.checksum": "sha256:1"}}})"});
  wire::SourceOp asked = source("https://x/f", {{"http.uid", "7"}});
  EXPECT_TRUE(must(apply_source_policies(pin, asked)));
  EXPECT_EQ(asked.identifier, "https://x/f");
  EXPECT_EQ(asked.attrs, (std::map<std::string, std::string>{{"http.checksum", "sha256:1"}, {"http.uid", "7"}}));
  EXPECT_FALSE(must(apply_source_policies(pin, asked)));

  const std::string unpinned = R"({"action": "DENY", "selector": {"identifier": "https://*",
      "constraints": [{"key": "http.checksum", "value": "^$", "condition": "MATCHES"},
                      {"key": "http.uid", "value": "0", "condition": "NOTEQUAL"}]}})";
  EXPECT_EQ(outcome(unpinned, source("https://x/f")), "denied");
  EXPECT_EQ(outcome(unpinned, source("https://x/f", {{"http.uid", "0"}})), "https://x/f");
  EXPECT_EQ(outcome(unpinned, source("https://x/f", {{"http.checksum", "sha256:1"}})), "https://x/f");
}

TEST(SourcePolicy, WhatIsConvertedIsJudgedAnew) {
  const std::string convert = R"({"action": "CONVERT", "selector": {"identifier": "https://a"}, "updates": {"identifier": "https://b"}})";
  const std::string deny_b = R"({"action": "DENY", "selector": {"identifier": "https://b"}})";
  EXPECT_EQ(outcome(convert + "," + deny_b, source("https://a")), "denied");
}

TEST(SourcePolicy, ConversionsInACircleEnd) {
  const std::string circle = R"({"action": "CONVERT", "selector": {"identifier": "https://a"}, "updates": {"identifier": "https://b"}},
                                {"action": "CONVERT", "selector": {"identifier": "https://b"}, "updates": {"identifier": "https://a"}})";
  EXPECT_THAT(outcome(circle, source("https://a")), HasSubstr("converts it more than 20 times"));
  const std::string doubling = R"({"action": "CONVERT", "selector": {"identifier": "*"}, "updates": {"identifier": "$1$1"}})";
  EXPECT_THAT(outcome(doubling, source("https://a")), HasSubstr("into one of more than 65536 bytes"));
}

TEST(SourcePolicy, AWildcardTakesWhatItsGroupsWould) {
  const auto groups = [](const std::string& pattern, const std::string& text) {
    return outcome(R"({"action": "CONVERT", "selector": {"identifier": ")" + pattern + R"("}, "updates": {"identifier": "[$1|$2]"}},
                      {"action": "ALLOW", "selector": {"identifier": "x"}})", source(text));
  };
  EXPECT_EQ(groups("a*b*c", "aXbYbZc"), "[XbY|Z]");
  EXPECT_EQ(groups("a*", "a"), "[|]");
  EXPECT_EQ(groups("ab*ba", "aba"), "aba");  // the ends do not overlap
  EXPECT_EQ(groups("a.c", "abc"), "abc");    // a point is a point
}

TEST(SourcePolicy, WhatCannotBeReadIsRefused) {
  for (const auto& [text, why] : std::map<std::string, std::string>{
           {"", "not JSON"},
           {"[]", "not an object"},
           {"{}", "version"},
           {R"({"version": 2})", "version"},
           {R"({"version": 1, "rules": {}})", "not a list"},
           {R"({"version": 1, "rules": [{"action": "DENY"}]})", "rule 1: it has no selector"},
           {R"({"version": 1, "rules": [{"action": "BAN", "selector": {}}]})", "\"action\""},
           {R"({"version": 1, "rules": [{"action": "CONVERT", "selector": {}}]})", "says not into what"},
           {R"({"version": 1, "rules": [{"action": "DENY", "selector": {"identifer": "x"}}]})", "unknown field \"identifer\""},
           {R"({"version": 1, "rules": [{"action": "DENY", "selector": {"identifier": "(", "match_type": "REGEX"}}]})", "regular expression"},
           {R"({"version": 1, "rules": [{"action": "DENY", "selector": {"identifier": "a**"}}]})", "** means nothing"}}) {
    const auto policy = SourcePolicy::parse(text);
    ASSERT_FALSE(policy) << text;
    EXPECT_EQ(policy.error().code, ErrorCode::invalid_argument);
    EXPECT_THAT(policy.error().message, HasSubstr(why)) << text;
  }
}

std::string definition_of(const wire::Op& op) {
  wire::DefinitionMessage definition;
  definition.def.push_back({wire::encode(op)});
  wire::Input result;
  result.digest = "sha256:" + base::to_hex(base::sha256(definition.def[0].value));
  wire::Op last;
  last.inputs.push_back(std::move(result));
  definition.def.push_back({wire::encode(last)});
  return wire::encode(definition);
}

TEST(SourcePolicy, LoadingUnderAPolicy) {
  wire::Op op;
  op.op = source("https://a/f");
  const auto to_b = policies({R"({"action": "CONVERT", "selector": {"identifier": "https://a/*"}, "updates": {"identifier": "https://b/$1"}})"});
  const Definition loaded = must(load_definition_under(definition_of(op), to_b));
  EXPECT_EQ(std::get<wire::SourceOp>(loaded.vertices[0]->op.op).identifier, "https://b/f");
  wire::Op other;
  other.op = source("https://b/f");
  EXPECT_EQ(loaded.vertices[0]->digest, must(load_definition(definition_of(other))).vertices[0]->digest);

  const auto none = policies({R"({"action": "DENY", "selector": {"identifier": "*"}})"});
  const auto denied = load_definition_under(definition_of(op), none);
  ASSERT_FALSE(denied);
  EXPECT_THAT(denied.error().message, HasSubstr("source \"https://a/f\" is denied by the source policy"));

}

}  // namespace
}  // namespace cairn::solver
