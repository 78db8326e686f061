// SPDX-License-Identifier: Apache-2.0
// Whoever may not read an instance tries to learn what is in it, and whoever is not trusted tries to be believed: over HTTP and
// Redis' protocol. A blob of others must be answered as one that nobody has.
#include <gtest/gtest.h>

#include "libcache/entry_store.h"
#include "libserve/routes/route.h"
#include "tests/libserve/action_results.h"
#include "tests/libserve/http_client.h"
#include "tests/libserve/resp_client.h"
#include "tests/libserve/some_access.h"

namespace cairn::serve {
namespace {

AccessRules rules_of_the_red_team(std::string_view team) {
  AccessRules rules = some_rules(team);
  rules.tokens.push_back({{.name = "stranger", .trust = cache::Trust::untrusted, .grants = rules.tokens[1].who.grants}, SecretHash::of_token("stranger")});
  return rules;
}

const std::string key32(32, 'a'), key64(64, 'b');

struct HttpRedTeam : ::testing::Test {
  Got ask(const std::string& token, const std::string& method, const std::string& target, const std::string& body = "") {
    return served.ask(method, target, body, "Authorization: Bearer " + token + "\r\n");
  }
  static std::string seen(const Got& got) {
    std::string text = std::to_string(got.status) + " " + got.body;
    for (const auto& [name, value] : got.headers)
      if (name != "date") text += "\n" + name + ": " + value;
    return text;
  }
  const Access access{rules_of_the_red_team("team")};
  Served served{{.address = "127.0.0.1:0", .access = &access}};
};

TEST_F(HttpRedTeam, ABlobOfOthersIsAnsweredAsOneThatNobodyHas) {
  const std::string secret = "secret!", unknown = "unknown";
  ASSERT_EQ(ask("writer", "PUT", "/team" + cas_path(secret), secret).status, 200);
  EXPECT_EQ(ask("reader", "GET", "/team" + cas_path(secret)).body, secret);
  for (const char* const method : {"GET", "HEAD"})
    EXPECT_EQ(seen(ask("other", method, "/other" + cas_path(secret))), seen(ask("other", method, "/other" + cas_path(unknown)))) << method;
  EXPECT_EQ(ask("other", "GET", "/other" + cas_path(secret)).status, 404);
  const auto naming = [](const std::string& bytes) { return proto::output_file("out", bytes); };
  const Got refused = ask("other", "PUT", "/other/ac/" + key64, naming(secret));
  EXPECT_EQ(refused.status, 422);
  EXPECT_EQ(refused.status, ask("other", "PUT", "/other/ac/" + key64, naming(unknown)).status);
  EXPECT_EQ(ask("other", "GET", "/other/ac/" + key64).status, 404);
  // Whoever has the bytes may have them, stored once.
  EXPECT_EQ(seen(ask("other", "PUT", "/other" + cas_path(secret), secret)), seen(ask("other", "PUT", "/other" + cas_path(unknown), unknown)));
  EXPECT_EQ(ask("other", "GET", "/other" + cas_path(secret)).body, secret);
  EXPECT_EQ(ask("other", "PUT", "/other/ac/" + key64, naming(secret)).status, 200);
  EXPECT_EQ(ask("other", "GET", "/other/ac/" + key64).status, 200);
  served.stop();
  EXPECT_TRUE(served.store.findings().empty());
}

// Each door that keeps values under names.
TEST_F(HttpRedTeam, WhatAStrangerPutsIsShownToStrangersOnly) {
  for (const std::string& door : {"/team/ccache/" + key32, "/team/a/sccache/" + key32, "/team/gradle/" + key32, "/team/v8/artifacts/" + key32,
                                  "/team/v1/cache/" + key32, "/team/ac/" + key64}) {
    ASSERT_EQ(ask("stranger", "PUT", door, "poison").status / 100, 2) << door;
    EXPECT_EQ(ask("stranger", "GET", door).body, "poison") << door;
    for (const char* const trusted : {"reader", "writer", "all"}) EXPECT_EQ(ask(trusted, "GET", door).status, 404) << door;
    ASSERT_EQ(ask("writer", "PUT", door, "good").status / 100, 2) << door << ": what a stranger has put is not in the way";
    for (const char* const anybody : {"reader", "writer", "stranger"}) EXPECT_EQ(ask(anybody, "GET", door).body, "good") << door;
    const int again = ask("stranger", "PUT", door, "poison again").status;
    EXPECT_TRUE(again / 100 == 2 || again == 409) << door;
    for (const char* const anybody : {"reader", "writer", "stranger"}) EXPECT_EQ(ask(anybody, "GET", door).body, "good") << door;
  }
}

TEST_F(HttpRedTeam, AStrangerTakesNothingAwayAndIsPromoted) {
  const std::string trusted = "/team/ccache/" + key32, strange = "/team/ccache/" + std::string(32, 'c');
  ask("writer", "PUT", trusted, "good");
  EXPECT_EQ(ask("stranger", "DELETE", trusted).status, 404);
  EXPECT_EQ(ask("reader", "GET", trusted).body, "good");
  ask("stranger", "PUT", strange, "looked at");
  const cache::EntryName name = entry_of(parse_route(strange).value());
  ASSERT_OK(cache::EntryStore(*served.store.cache).promote(name, {.who = "ada", .reason = "a test"}));
  EXPECT_EQ(ask("reader", "GET", strange).body, "looked at");
  EXPECT_EQ(ask("stranger", "DELETE", strange).status, 404) << "it is his no more";
}

TEST(RespRedTeam, WhatAStrangerSetsIsShownToStrangersOnly) {
  const Access access{rules_of_the_red_team("3")};
  RespServed served({.access = &access});
  const auto client = [&](const std::string& token) {
    RespClient made(served.server->address());
    EXPECT_EQ(made.ask({"AUTH", token}), "+OK");
    EXPECT_EQ(made.ask({"SELECT", "3"}), "+OK");
    return made;
  };
  RespClient stranger = client("stranger"), writer = client("writer"), reader = client("reader");
  EXPECT_EQ(stranger.ask({"SET", "k", "poison"}), "+OK");
  EXPECT_EQ(stranger.ask({"EXISTS", "k"}), ":1");
  EXPECT_EQ(reader.ask({"EXISTS", "k"}), ":0");
  EXPECT_EQ(writer.ask({"SETNX", "k", "good"}), ":1");
  EXPECT_EQ(stranger.ask({"SETNX", "k", "poison again"}), ":0");
  EXPECT_EQ(stranger.ask({"DEL", "k"}), ":1") << "his own";
  EXPECT_EQ(stranger.ask({"EXISTS", "k"}), ":1") << "and not that of the writer";
  EXPECT_EQ(stranger.ask({"DEL", "k"}), ":0");
  EXPECT_EQ(stranger.ask({"GET", "k"}), reader.ask({"GET", "k"}));
}

}  // namespace
}  // namespace cairn::serve
