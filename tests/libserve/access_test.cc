// SPDX-License-Identifier: Apache-2.0
// Who may do what, before any door asks: secrets, patterns, guesses, verdicts.
#include "libserve/access.h"

#include <gtest/gtest.h>

#include "libbase/hash/secrets.h"
#include "libserve/access/guesses.h"

namespace cairn::serve {
namespace {

using std::chrono::seconds;

InstancePattern pattern(std::string_view text) { return *InstancePattern::parse(text); }
Grant grant(std::string_view instances, Rights rights) { return {{pattern(instances)}, rights}; }

// RFC 4231, 4.3; RFC 7914 has none with r = 8 and p = 1 and 32 bytes: by hashlib of Python's library.
TEST(Secrets, HashesAreThoseOfTheStandards) {
  EXPECT_EQ(base::to_hex(base::hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
  EXPECT_EQ(base::to_hex(*base::scrypt("pleaseletmein", "SodiumChloride", 14)),
            "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2");
  EXPECT_FALSE(base::scrypt("p", "s", 9));
  EXPECT_FALSE(base::scrypt("p", "s", 19));
}

TEST(SecretHash, IsReadAsItIsWrittenAndKnowsItsSecret) {
  const std::string token = new_token();
  EXPECT_NE(token, new_token());
  for (const SecretHash& hash : {SecretHash::of_token(token), *SecretHash::of_password(token)}) {
    const auto read = SecretHash::parse(hash.str());
    ASSERT_TRUE(read) << hash.str();
    EXPECT_EQ(read->str(), hash.str());
    EXPECT_EQ(read->is_of_password(), hash.is_of_password());
    EXPECT_TRUE(*read->is_of(token));
    EXPECT_FALSE(*read->is_of(token + "x"));
    EXPECT_FALSE(*read->is_of(""));
  }
  EXPECT_NE(SecretHash::of_password("p")->str(), SecretHash::of_password("p")->str()) << "each has a salt of its own";
  const std::string hex(64, 'a');
  for (const std::string& bad :
       std::vector<std::string>{"", "sha256:" + hex + "a", "sha256:" + std::string(64, 'A'), "scrypt:" + hex,
                                "scrypt:14:" + hex, "scrypt:40:00:" + hex, "scrypt:-1:00:" + hex, "scrypt:14::" + hex,
                                "scrypt:14:xy:" + hex, "scrypt:14:00:" + hex + "0", "md5:00"})
    EXPECT_FALSE(SecretHash::parse(bad)) << bad;
}

TEST(InstancePattern, NamesOneOrAllOrThoseBelow) {
  EXPECT_TRUE(pattern("*").matches(""));
  EXPECT_TRUE(pattern("*").matches("team/a"));
  EXPECT_TRUE(pattern("").matches(""));
  EXPECT_FALSE(pattern("").matches("team"));
  EXPECT_TRUE(pattern("team").matches("team"));
  EXPECT_FALSE(pattern("team").matches("team/a"));
  EXPECT_FALSE(pattern("team").matches("teams"));
  EXPECT_TRUE(pattern("team/*").matches("team/a"));
  EXPECT_TRUE(pattern("team/*").matches("team/a/b"));
  for (const char* other : {"team", "team/", "teams/a", "Team/a", ""})
    EXPECT_FALSE(pattern("team/*").matches(other)) << other;
  for (const char* bad : {"a//b", "/a", "a/", "..", "a/../b", "./a", "a*", "*/a", "a/*/b", "a/b*", "**", "/*", "a//*"})
    EXPECT_FALSE(InstancePattern::parse(bad)) << bad;
}

TEST(Guesses, TenAreFreeAndThenOneInSixSeconds) {
  Guesses guesses;
  Guesses::Clock::time_point now{};
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(guesses.take("192.0.2.1:1000", now)) << i;
  EXPECT_FALSE(guesses.take("192.0.2.1:2000", now)) << "the port is no matter";
  EXPECT_TRUE(guesses.take("192.0.2.2:1000", now)) << "others may";
  now += seconds(6);
  EXPECT_TRUE(guesses.take("192.0.2.1", now));
  EXPECT_FALSE(guesses.take("192.0.2.1", now));
  guesses.give_back("192.0.2.1");
  EXPECT_TRUE(guesses.take("192.0.2.1", now)) << "the one before was right";
}

TEST(Guesses, ANetworkOf64BitsIsOneGuesser) {
  EXPECT_EQ(guesser_of("[2001:db8::1]:80"), "2001:db8::");
  EXPECT_EQ(guesser_of("2001:db8::2"), "2001:db8::");
  EXPECT_EQ(guesser_of("ipv6:%5B2001:db8::3%5D:4711"), "2001:db8::");
  EXPECT_EQ(guesser_of("ipv6:[2001:db8::3]:4711"), "2001:db8::");
  EXPECT_EQ(guesser_of("[::ffff:192.0.2.1]:80"), "192.0.2.1");
  EXPECT_EQ(guesser_of("ipv4:192.0.2.1:80"), "192.0.2.1");
  EXPECT_EQ(guesser_of("[2001:db8::1"), "2001:db8::") << "without its end";
}

TEST(Guesses, HoldsABoundedNumberOfAddresses) {
  Guesses guesses;
  Guesses::Clock::time_point now{};
  for (int i = 0; i < 12'000; ++i)
    guesses.take(fmt::format("10.{}.{}.1", i / 250, i % 250), now += std::chrono::microseconds(1));
  EXPECT_EQ(guesses.size(), Guesses::addresses_max);
}

struct AccessTest : ::testing::Test {
  AccessTest() {
    rules.anonymous.grants = {grant("public", Rights::read)};
    rules.tokens.push_back(
        {{.name = "ci", .grants = {grant("team/*", Rights::write)}}, SecretHash::of_token("cairn_ci")});
    rules.tokens.push_back(
        {{.name = "ada", .grants = {grant("*", Rights::read)}}, *SecretHash::of_password("a password")});
    rules.peers.push_back({{.name = "builders", .grants = {grant("*", Rights::write)}}, {1000}});
  }
  Verdict judge(const Caller& caller, Need need, std::string_view instance, std::string_view from = "192.0.2.1") {
    if (!access) access.emplace(rules);
    Identity who = access->recall(caller);
    if (who.state == Identity::State::unproven) who = access->verify(caller, from);
    return access->judge(who, need, instance);
  }
  AccessRules rules;
  std::optional<Access> access;
  int last = 0;  // each guess from another one
};

TEST_F(AccessTest, WithoutRulesEverybodyMayDoEverything) {
  const Access open;
  for (const Need need : {Need::nothing, Need::read, Need::write, Need::everything})
    EXPECT_EQ(open.judge(open.recall({}), need, "any"), Verdict::granted);
  EXPECT_EQ(open.judge(open.recall({}), Need::refused, "any"), Verdict::not_allowed)
      << "but what nobody has classified";
}

TEST_F(AccessTest, RightsAreThoseOfTheInstance) {
  const Caller nobody, ci{.authorization = "Bearer cairn_ci"};
  EXPECT_EQ(judge(nobody, Need::read, "public"), Verdict::granted);
  EXPECT_EQ(judge(nobody, Need::write, "public"), Verdict::who_are_you);
  EXPECT_EQ(judge(nobody, Need::read, ""), Verdict::who_are_you);
  EXPECT_EQ(judge(nobody, Need::everything, "public"), Verdict::who_are_you);
  EXPECT_EQ(judge(nobody, Need::nothing, ""), Verdict::granted);
  EXPECT_EQ(judge(ci, Need::write, "team/a"), Verdict::granted);
  EXPECT_EQ(judge(ci, Need::read, "team/a"), Verdict::granted) << "whoever may write may read";
  EXPECT_EQ(judge(ci, Need::read, "team"), Verdict::not_allowed);
  EXPECT_EQ(judge(ci, Need::read, "public"), Verdict::not_allowed) << "it has its own rights and no others";
  EXPECT_EQ(judge(ci, Need::everything, ""), Verdict::not_allowed);
  EXPECT_EQ(judge(ci, Need::refused, "team/a"), Verdict::not_allowed);
}

TEST_F(AccessTest, CredentialsAreBearerOrBasicAndWrongOnesAreNobodys) {
  const auto may_read = [&](const std::string& authorization) {
    return judge({.authorization = authorization}, Need::read, "team/a", fmt::format("192.0.2.{}", ++last)) ==
           Verdict::granted;
  };
  EXPECT_TRUE(may_read("bearer  cairn_ci"));
  EXPECT_TRUE(may_read(basic_authorization("ci", "cairn_ci"))) << "clients that know only Basic";
  EXPECT_TRUE(may_read(basic_authorization("ada", "a password")));
  for (const std::string& wrong :
       std::vector<std::string>{"Bearer", "Bearer ", "Bearer cairn_c", "Bearer cairn_ci ", "Bearer a password",
                                "cairn_ci", "Digest x", "Basic !", "Basic", basic_authorization("other", "cairn_ci"),
                                basic_authorization("ada", ""), basic_authorization("ada", "a passwor"),
                                basic_authorization("", "a password"), basic_authorization("bob", "x")})
    EXPECT_EQ(judge({.authorization = wrong}, Need::read, "public", fmt::format("192.0.2.{}", ++last)),
              Verdict::who_are_you)
        << wrong << ": also where nobody has to show any";
}

TEST_F(AccessTest, AUserOfAUnixSocketIsKnownByItsNumber) {
  EXPECT_EQ(judge({.uid = 1000}, Need::write, "any"), Verdict::granted);
  EXPECT_EQ(judge({.uid = 1001}, Need::read, "public"), Verdict::granted) << "as anybody";
  EXPECT_EQ(judge({.uid = 1001}, Need::write, "any"), Verdict::who_are_you);
  EXPECT_EQ(judge({.uid = 0}, Need::write, "any"), Verdict::who_are_you);
  EXPECT_EQ(judge({.authorization = "Bearer wrong", .uid = 1000}, Need::write, "any"), Verdict::who_are_you);
}

TEST_F(AccessTest, GuessingIsSlowedDownAndLocksNobodyOut) {
  const std::string right = basic_authorization("ada", "a password");
  EXPECT_EQ(judge({.authorization = right}, Need::read, ""), Verdict::granted);
  for (int i = 0; i < 10; ++i)
    EXPECT_EQ(judge({.authorization = basic_authorization("ada", std::to_string(i))}, Need::read, ""),
              Verdict::who_are_you)
        << i;
  EXPECT_EQ(judge({.authorization = basic_authorization("ada", "11")}, Need::read, ""), Verdict::too_many_guesses);
  EXPECT_EQ(judge({.authorization = "Bearer 12"}, Need::read, ""), Verdict::too_many_guesses);
  EXPECT_EQ(judge({.authorization = right}, Need::read, ""), Verdict::granted) << "it was shown before";
  EXPECT_EQ(judge({.authorization = "Bearer cairn_ci"}, Need::read, "team/a"), Verdict::granted) << "no guess";
  EXPECT_EQ(judge({}, Need::read, "public"), Verdict::granted);
  access.emplace(rules);
  EXPECT_EQ(judge({.authorization = right}, Need::read, "", "198.51.100.7"), Verdict::granted) << "anywhere else";
}

}  // namespace
}  // namespace cairn::serve
