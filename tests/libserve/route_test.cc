// SPDX-License-Identifier: Apache-2.0
#include "libserve/routes/route.h"

#include <gtest/gtest.h>

namespace cairn::serve {
namespace {

using base::ErrorCode;

const std::string hex64 = "93c1f506b2936210a1f9ecec0a5a6a7b93c1f506b2936210a1f9ecec0a5a6a7b";

std::string shown(const std::string& target) {
  const auto route = parse_route(target);
  if (!route) return route.error().code == ErrorCode::not_found ? "not found" : "bad";
  std::string text = std::string(to_string(route->door)) + " " + route->instance + " " + route->key;
  if (!route->team.empty()) text += " of " + route->team;
  if (route->is_collection) text += " /";
  return text;
}

TEST(Routes, AreWhatTheProtocolsSay) {
  EXPECT_EQ(shown("/health"), "health  ");
  EXPECT_EQ(shown("/metrics?x=1"), "metrics  ");
  EXPECT_EQ(shown("*"), "server  ");
  EXPECT_EQ(shown("/ac/" + hex64), "bazel  " + hex64);
  EXPECT_EQ(shown("/a/b/cas/" + hex64), "bazel a/b " + hex64);
  EXPECT_EQ(shown("http://host:80/a/cas/" + hex64), "bazel a " + hex64);
  EXPECT_EQ(shown("/ccache/93/c1jqnrf506k2936210hi9ofeceknu5a"), "ccache  93c1jqnrf506k2936210hi9ofeceknu5a");
  EXPECT_EQ(shown("/ccache/93c1jqnrf506k2936210hi9ofeceknu5a"), "ccache  93c1jqnrf506k2936210hi9ofeceknu5a");
  EXPECT_EQ(shown("/ccache/ac/c1jqnrf506k2936210hi9ofeceknu"), "ccache  acc1jqnrf506k2936210hi9ofeceknu")
      << "a key that begins like a layout";
  EXPECT_EQ(shown("/team/ccache/ac/" + hex64), "ccache team ac/" + hex64);
  EXPECT_EQ(shown("/sccache/"), "sccache   /");
  EXPECT_EQ(shown("/sccache"), "sccache   /");
  EXPECT_EQ(shown("/sccache/prefix/f/5/6/" + hex64), "sccache  prefix/f/5/6/" + hex64);
  EXPECT_EQ(shown("/sccache/f/5/"), "sccache  f/5 /");
  EXPECT_EQ(shown("//sccache/f/5/"), "sccache  f/5 /") << "an address with a slash at its end, and a path";
  EXPECT_EQ(shown("/gradle/0123456789abcdef0123456789abcdef"), "gradle  0123456789abcdef0123456789abcdef");
  EXPECT_EQ(shown("/v8/artifacts/status?teamId=t1"), "turborepo  status of t1");
  EXPECT_EQ(shown("/x/v8/artifacts/0123456789abcdef?slug=my-team"), "turborepo x 0123456789abcdef of my-team");
  EXPECT_EQ(shown("/v8/artifacts"), "turborepo  ");
  EXPECT_EQ(shown("/v1/cache/12345678901234567890"), "nx  12345678901234567890");
}

TEST(Routes, WhatIsNoNameIsBadAndWhatIsNoDoorIsNotFound) {
  for (const char* target : {"",
                             "x",
                             "/../ac/x",
                             "/a/../cas/x",
                             "/./health",
                             "///health",
                             "/a//health",
                             "/a//ac/x",
                             "/a%2fb/ac/x",
                             "/%2e%2e/ac/x",
                             "/%zz",
                             "/%4",
                             "/a%00/ac/x",
                             "/a b",
                             "/a\x01",
                             "/blobs/ac/x",
                             "/x/uploads/cas/y",
                             "/ac/abc",
                             "/gradle/short",
                             "/ccache/UPPERCASE",
                             "/v8/artifacts/a?teamId=../x",
                             "/ac/..",
                             "/sccache/../x",
                             "/health\\x",
                             "/caf\xc3\xa9"})
    EXPECT_EQ(shown(target), "bad") << target;
  EXPECT_EQ(shown("/ac/" + hex64.substr(1) + "G"), "bad");
  EXPECT_EQ(shown("/" + std::string(256, 'a') + "/ac/" + hex64), "bad");
  EXPECT_EQ(shown("/" + std::string(120, 'a') + "/" + std::string(120, 'b') + "/ac/" + hex64), "bad");
  for (const char* target : {"/", "/nothing", "/health/", "/a/health", "/ac", "/cas/", "/v8/x", "/v1/x", "/ac/a/b",
                             "/v1/cache", "/ccache", "/ccache/a/b/c"})
    EXPECT_EQ(shown(target), "not found") << target;
}

TEST(Routes, EntriesOfDifferentDoorsInstancesAndTeamsDiffer) {
  const auto key = [](const std::string& target) { return key_of(entry_of(parse_route(target).value())); };
  EXPECT_EQ(key("/ccache/93/c1jqnrf506k2936210hi9ofeceknu5a"), key("/ccache/93c1jqnrf506k2936210hi9ofeceknu5a"))
      << "two layouts";
  EXPECT_NE(key("/v8/artifacts/0123456789abcdef?slug=a"), key("/v8/artifacts/0123456789abcdef?slug=b"));
  EXPECT_NE(key("/v8/artifacts/0123456789abcdef"), key("/v1/cache/0123456789abcdef"));
  EXPECT_NE(key("/x/v1/cache/1"), key("/v1/cache/1"));
}

}  // namespace
}  // namespace cairn::serve
