// SPDX-License-Identifier: Apache-2.0
// Who is let in over HTTP: every route with every method, and each way to be refused.
#include <gtest/gtest.h>
#include <unistd.h>

#include <map>

#include "libserve/routes/route.h"
#include "tests/libserve/http_client.h"
#include "tests/libserve/some_access.h"
#include "tests/support/temp_dir.h"

namespace cairn::serve {
namespace {

const std::string key32(32, 'a');

std::string bearer(const std::string& token) { return token.empty() ? "" : "Authorization: Bearer " + token + "\r\n"; }
std::string basic(const std::string& user, const std::string& password) {
  return "Authorization: " + basic_authorization(user, password) + "\r\n";
}

struct AccessServed {
  explicit AccessServed(const std::string& address = HttpOptions().address, AccessRules rules = some_rules())
      : access(std::move(rules)), served({.address = address, .access = &access}) {}
  Got ask(const std::string& method, const std::string& target, const std::string& headers = "") {
    return served.ask(method, target, method == "PUT" || method == "POST" ? "{}" : "", headers);
  }
  const Access access;
  Served served;
};

// What each method needs, by letter: nothing, read, write, everything.
struct DoorRow {
  std::string path, needs;
};
const std::vector<std::string> methods = {"GET",     "HEAD",     "PUT",   "POST", "DELETE",
                                          "OPTIONS", "PROPFIND", "MKCOL", "PATCH"};
const std::map<Door, DoorRow> rows = {
    {Door::health, {"/health", "nnnnnnnnn"}},
    {Door::status, {"/status", "eeeeeeeee"}},
    {Door::metrics, {"/metrics", "eeeeeeeee"}},
    {Door::server, {"*", "nnnnnnnnn"}},
    {Door::bazel_ac, {"/team/ac/" + std::string(64, 'a'), "rrwwwnrww"}},
    {Door::bazel_cas, {"/team/cas/" + std::string(64, 'a'), "rrwwwnrww"}},
    {Door::ccache, {"/team/ccache/" + key32, "rrwwwnrww"}},
    {Door::sccache, {"/team/a/sccache/" + key32, "rrwwwnrww"}},
    {Door::gradle, {"/team/a/b/gradle/" + key32, "rrwwwnrww"}},
    {Door::turborepo_status, {"/team/v8/artifacts/status", "rrwrwnrww"}},
    {Door::turborepo_events, {"/team/v8/artifacts/events", "rrwrwnrww"}},
    {Door::turborepo_query, {"/team/v8/artifacts", "rrwrwnrww"}},
    {Door::turborepo, {"/team/v8/artifacts/" + key32, "rrwwwnrww"}},
    {Door::nx, {"/team/v1/cache/" + key32, "rrwwwnrww"}},
};

Need need_of(char letter) {
  return letter == 'n' ? Need::nothing : letter == 'r' ? Need::read : letter == 'w' ? Need::write : Need::everything;
}

TEST(HttpAccess, EveryRouteAsksForWhatItNeeds) {
  for (auto door = Door::health; to_string(door) != "unknown"; door = static_cast<Door>(static_cast<int>(door) + 1)) {
    const auto row = rows.find(door);
    ASSERT_NE(row, rows.end()) << "nobody has said here what door " << static_cast<int>(door) << " needs";
    AccessServed server;  // each with guesses of its own
    for (std::size_t i = 0; i < methods.size(); ++i) {
      for (const Asker& who : askers) {
        const Need need = need_of(row->second.needs.at(i));
        const int status = server.ask(methods[i], row->second.path, bearer(who.token)).status;
        const std::string what = methods[i] + " " + row->second.path + " by \"" + who.token + "\"";
        if (who.may(need))
          EXPECT_TRUE(status != 401 && status != 403 && status != 429 && status != 0) << what << ": " << status;
        else
          EXPECT_EQ(status, who.known ? 403 : 401) << what;
      }
    }
  }
}

TEST(HttpAccess, WhatIsRefusedIsNeitherStoredNorTold) {
  AccessServed server;
  const std::string path = "/team/gradle/" + key32;
  EXPECT_EQ(server.served.ask("PUT", path, "value", bearer("reader")).status, 403);
  EXPECT_EQ(server.served.ask("GET", path, {}, bearer("reader")).status, 404);
  EXPECT_EQ(server.served.ask("PUT", path, "value", bearer("writer")).status, 200);
  const Got nobody = server.served.ask("GET", path);
  EXPECT_EQ(nobody.status, 401);
  EXPECT_EQ(nobody.body.find("value"), std::string::npos);
  EXPECT_NE(nobody.header("www-authenticate"), "");
  EXPECT_EQ(server.ask("GET", "/team/gradle/" + std::string(32, 'b')).status, 401)
      << "what is there and what is not look alike";
  EXPECT_EQ(server.served.ask("DELETE", "/team/ccache/" + key32, {}, bearer("reader")).status, 403);
  const Got large = server.served.ask("PUT", path, std::string(3'000'000, 'x'), "Expect: 100-continue\r\n");
  EXPECT_EQ(large.status, 401) << "before the body";
  EXPECT_EQ(server.served.ask("GET", path, {}, bearer("reader")).body, "value");
  EXPECT_EQ(server.served.findings(), std::vector<std::string>{});
}

TEST(HttpAccess, EachRequestOfAConnectionShowsItsOwn) {
  AccessServed server;
  Client client(server.served.server->address());
  const std::string path = "/team/gradle/" + key32;
  EXPECT_EQ(client.ask("PUT", path, "value", bearer("writer")).status, 200);
  EXPECT_EQ(client.ask("GET", path).status, 401) << "what the last one has shown counts no more";
  EXPECT_EQ(client.ask("GET", path, {}, basic("ada", "a password")).status, 200);
  EXPECT_EQ(client.ask("GET", path, {}, basic("reader", "reader")).status, 200) << "a token as a password";
  EXPECT_EQ(client.ask("PUT", path, "other", basic("ada", "a password")).status, 403);
  EXPECT_EQ(client.ask("GET", path, {}, bearer("all")).body, "value");
}

TEST(HttpAccess, TricksWithPathsLeadIntoNoOtherInstance) {
  AccessServed server;
  const std::string behind = "/gradle/" + key32;
  ASSERT_EQ(server.served.ask("PUT", "/other" + behind, "secret", bearer("other")).status, 200);
  for (const auto& [path, status] : std::map<std::string, int>{{"/team/../other" + behind, 400},
                                                               {"/team/%2e%2e/other" + behind, 400},
                                                               {"/team%2f..%2fother" + behind, 400},
                                                               {"/team//../other" + behind, 400},
                                                               {"/team/./other" + behind, 400},
                                                               {"/team%00/other" + behind, 400},
                                                               {"/team%2fa" + behind, 400},
                                                               {"/team\\..\\other" + behind, 400},
                                                               {"/other" + behind, 403},
                                                               {"/%6fther" + behind, 403},
                                                               {"http://team/other" + behind, 403},
                                                               {"/other" + behind + "?teamId=team", 403},
                                                               {"/OTHER" + behind, 403},
                                                               {"/teams" + behind, 403},
                                                               {behind, 403}}) {
    const Got got = server.ask("GET", path, bearer("writer"));
    EXPECT_EQ(got.status, status) << path;
    EXPECT_EQ(got.body.find("secret"), std::string::npos) << path;
  }
}

TEST(HttpAccess, GuessesAreSlowedDownAndRightOnesAreNot) {
  AccessServed server;
  const std::string path = "/team/gradle/" + key32;
  for (int i = 0; i < 10; ++i) EXPECT_EQ(server.ask("GET", path, bearer("guess" + std::to_string(i))).status, 401) << i;
  const Got limited = server.ask("GET", path, basic("ada", "guess"));
  EXPECT_EQ(limited.status, 429);
  EXPECT_EQ(limited.header("retry-after"), "6");
  EXPECT_EQ(server.ask("GET", path, bearer("reader")).status, 404);
  EXPECT_EQ(server.ask("GET", "/health").status, 200);
}

TEST(HttpAccess, AProcessAtAUnixSocketIsKnownByItsUser) {
  const test::TempDir dir;
  AccessRules rules;
  Grant all{.instances = {*InstancePattern::parse("*")}, .rights = Rights::write};
  rules.peers.push_back({{.name = "me", .grants = {all}}, {::geteuid()}});
  const std::string path = "/gradle/" + key32;
  {
    AccessServed server((dir / "socket").str(), rules);
    EXPECT_EQ(server.ask("PUT", path).status, 200);
    EXPECT_EQ(server.ask("GET", path, bearer("wrong")).status, 401) << "what is shown counts";
  }
  rules.peers[0].uids = {::geteuid() + 1};
  AccessServed server((dir / "socket").str(), rules);
  EXPECT_EQ(server.ask("GET", path).status, 401);
  AccessServed elsewhere(HttpOptions().address, rules);
  EXPECT_EQ(elsewhere.ask("GET", path).status, 401);
}

TEST(HttpAccess, WithoutRulesNobodyIsAsked) {
  Served served;
  EXPECT_EQ(served.ask("PUT", "/gradle/" + key32, "value", bearer("any")).status, 200) << "Turborepo always shows one";
  EXPECT_EQ(served.ask("GET", "/metrics").status, 200);
}

}  // namespace
}  // namespace cairn::serve
