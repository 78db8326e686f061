// SPDX-License-Identifier: Apache-2.0
// Amounts, ages, what a rule keeps, and our own file.
#include <gtest/gtest.h>

#include "libcache/policy.h"
#include "libcache/quota.h"

namespace cairn::cache {
namespace {

using namespace std::chrono_literals;

TEST(Amounts, AreBytesOrPercent) {
  const DiskSpace disk{.total_bytes = 10'000, .free_bytes = 0};
  const std::pair<const char*, std::int64_t> cases[] = {{"0", 0},         {"512", 512},        {"1kB", 1000},    {"10GB", 10'000'000'000},
                                                        {"1.5 KiB", 1536}, {"2g", 2'000'000'000}, {"3MiB", 3 << 20}, {"20%", 2000}};
  for (const auto& [text, bytes] : cases) {
    const auto space = parse_space(text);
    ASSERT_TRUE(space) << text;
    EXPECT_EQ(space->on(disk), bytes) << text;
  }
  for (const char* text : {"", "GB", "-1", "1 potato", "101%", "1.5%", "1e3", "99999999999 GiB", "1..5", "0x10"})
    EXPECT_FALSE(parse_space(text)) << text;
  EXPECT_EQ(Space({{Space::Part::Unit::percent, 80}, {Space::Part::Unit::bytes, 100}}).on(disk), 100);
  EXPECT_EQ(Space().on(disk), std::nullopt);
}

TEST(Ages, AreGosAndDaysAndWeeks) {
  EXPECT_EQ(parse_age("48h").value(), 48h);
  EXPECT_EQ(parse_age("1h30m").value(), 90min);
  EXPECT_EQ(parse_age("60d").value(), 60 * 24h);
  EXPECT_EQ(parse_age("2w").value(), 14 * 24h);
  EXPECT_EQ(parse_age("1.5s").value(), 1500ms);
  EXPECT_EQ(parse_age("0").value(), 0s);
  for (const char* text : {"", "h", "5", "5 potatoes", "-1h", "1h-30m", "999999999999h"}) EXPECT_FALSE(parse_age(text)) << text;
  EXPECT_EQ(to_string(std::chrono::nanoseconds(90min)), "1h30m");
}

PolicyRule rule(std::optional<int> ceiling, std::optional<int> free, std::optional<int> floor) {
  PolicyRule rule;
  if (ceiling) rule.ceiling = Space::bytes(static_cast<std::uint64_t>(*ceiling));
  if (free) rule.free = Space::bytes(static_cast<std::uint64_t>(*free));
  if (floor) rule.floor = Space::bytes(static_cast<std::uint64_t>(*floor));
  return rule;
}

TEST(Quotas, AreALastRuleAndNoFloorKeepsMore) {
  const DiskSpace disk{.total_bytes = 1'000'000'000'000, .free_bytes = 500'000'000'000};
  const Policy policy = with_quota(default_policy(), {.hard_bytes = 1'000'000});
  ASSERT_EQ(policy.rules.size(), default_policy().rules.size() + 1);
  for (const PolicyRule& each : policy.rules) EXPECT_LE(each.effective_floor().on(disk).value_or(0), 450'000);
  EXPECT_EQ(policy.rules.back().keep_bytes(2'000'000, disk), 900'000);
  EXPECT_EQ(with_quota({}, {.soft_bytes = 70, .hard_bytes = 100}).rules.back().keep_bytes(200, disk), 70);
  EXPECT_TRUE(with_quota({}, {}).rules.empty());
  // A rule whose floor goes without saying: free space does not cost the whole cache, nor may it keep more than there may be.
  Policy free;
  free.rules.push_back({.free = Space::percent(90)});
  EXPECT_EQ(with_quota(free, {.hard_bytes = 1'000'000}).rules.front().keep_bytes(2'000'000, disk), 450'000);
}

// spec/storage 6.2: BuildKit's own table, on a disk of 10,000 bytes.
TEST(KeepBytes, AreThoseOfBuildKit) {
  struct Case {
    std::int64_t live, free;
    std::optional<int> max, min_free, reserved;
    std::int64_t keep;
  };
  const Case cases[] = {{1000, 9000, {}, {}, {}, 0},         {1000, 9000, 2000, {}, {}, 2000},
                        {7000, 3000, {}, 5000, {}, 5000},    {7000, 3000, {}, 5000, 6000, 6000},
                        {7000, 3000, 4000, 5000, 2000, 4000}, {4000, 2000, 2000, {}, {}, 2000},
                        {4000, 2000, {}, 5000, {}, 1000},    {4000, 2000, {}, 5000, 2000, 2000},
                        {4000, 2000, 4000, 5000, 2000, 2000}};
  for (const Case& c : cases)
    EXPECT_EQ(rule(c.max, c.min_free, c.reserved).keep_bytes(c.live, {10'000, c.free}).value_or(0), c.keep) << c.live;
}

TEST(KeepBytes, AFreeTargetWithoutPressureTakesNothing) {
  EXPECT_EQ(rule({}, 5000, {}).keep_bytes(7000, {10'000, 5000}), 7000);
}

TEST(KeepBytes, SpaceThatIsShortForOtherReasonsDoesNotCostTheFloor) {
  EXPECT_EQ(rule({}, 9000, 3000).keep_bytes(4000, {10'000, 100}), 3000);
  EXPECT_EQ(rule({}, 9000, {}).keep_bytes(4000, {10'000, 100}), 1000);  // the default floor: 10 %
  EXPECT_EQ(rule({}, 9000, 0).keep_bytes(4000, {10'000, 100}), 0);      // it was said that there is none
}

Policy must_parse(std::string_view text) {
  auto policy = parse_policy(text, "gc.toml");
  EXPECT_TRUE(policy) << (policy ? "" : policy.error().message);
  return policy ? std::move(*policy) : Policy();
}

TEST(PolicyFile, SaysAllThereIsToSay) {
  const Policy policy = must_parse(R"(
order = "lru"
[[pin]]
filter = "description~=^base"
[[rule]]
name = "cache mounts"
filter = ["type==exec.cachemount", "type==source.local"]
unused_for = "48h"
ceiling = "512MB"
[[rule]]
ceiling = ["80%", "100GB"]
floor = "10%"
free = "20%"
all = true
)");
  EXPECT_EQ(policy.order, PolicyOrder::lru);
  ASSERT_EQ(policy.pins.size(), 1u);
  ASSERT_EQ(policy.rules.size(), 2u);
  EXPECT_EQ(rule_title(policy, 0), "rule 1 \"cache mounts\"");
  EXPECT_EQ(policy.rules[0].unused_for, 48h);
  EXPECT_EQ(policy.rules[0].ceiling, Space::bytes(512'000'000));
  EXPECT_EQ(policy.rules[0].only_types(), (std::vector{RecordType::exec_cache_mount, RecordType::source_local}));
  EXPECT_FALSE(policy.rules[0].all);
  EXPECT_EQ(policy.rules[1].ceiling.on({1'000'000'000'000, 0}), 100'000'000'000);
  EXPECT_TRUE(policy.rules[1].all);
  EXPECT_EQ(policy.rules[1].only_types(), std::nullopt);
}

TEST(PolicyFile, WarnsOfWhatDoesNotBound) {
  EXPECT_TRUE(must_parse("[[rule]]\nceiling = \"10GB\"\n").notes.empty());
  const auto notes = must_parse("[[rule]]\nunused_for = \"48h\"\nceiling = \"10GB\"\nfree = \"20%\"\n").notes;
  ASSERT_EQ(notes.size(), 3u);
  EXPECT_NE(notes[0].find("younger than 2d stays even above the ceiling"), std::string::npos) << notes[0];
  EXPECT_NE(notes[1].find("without a floor"), std::string::npos) << notes[1];
  EXPECT_NE(notes[2].find("nothing else bounds the store"), std::string::npos) << notes[2];
}

TEST(PolicyFile, RulesThatBoundNothingGetALastOneThatDoes) {
  for (const char* text : {"", "[[rule]]\nunused_for = \"48h\"\n", "[[rule]]\nfilter = \"type==regular\"\nceiling = \"1GB\"\n"}) {
    const Policy policy = must_parse(text);
    ASSERT_FALSE(policy.rules.empty());
    EXPECT_EQ(policy.rules.back().name, "backstop") << text;
    EXPECT_EQ(policy.rules.back().ceiling, Space::percent(80));
  }
  EXPECT_EQ(must_parse("[[rule]]\nceiling = \"100%\"\n").rules.size(), 1u);
}

TEST(PolicyFile, ErrorsNameLineAndField) {
  const std::pair<const char*, const char*> wrong[] = {
      {"[[rule]]\nceiling = \"10 potatoes\"\n", "gc.toml, line 2: rule 1, ceiling: \"10 potatoes\" has no unit"},
      {"[[rule]]\n[[rule]]\nflor = \"1GB\"\n", "gc.toml, line 3: rule 2, flor: no such field"},
      {"order = \"random\"\n", "gc.toml, line 1: order: \"random\" is no order"},
      {"\n[[rule]]\nunused_for = 3\n", "gc.toml, line 3: rule 1, unused_for: want a text"},
      {"[[rule]]\nfilter = [\"type==a\", \"type=!b\"]\n", "gc.toml, line 2: rule 1, filter: filter \"type=!b\", at 5"},
      {"[[pin]]\n", "pin 1, filter: a pin needs a filter"},
      {"[[pin]]\nfilter = \"until=3h\"\n", "gc.toml, line 2: pin 1, filter: a pin has no age"},
      {"rule = 3\n", "gc.toml, line 1: rule: want [[rule]]"},
      {"[[rule]\n", "gc.toml, line 1: "},
      {"[[rule]]\nall = \"yes\"\n", "gc.toml, line 2: rule 1, all: want true or false"},
      {"[[rule]]\nceiling = []\n", "rule 1, ceiling: want an amount"}};
  for (const auto& [text, why] : wrong) {
    const auto policy = parse_policy(text, "gc.toml");
    ASSERT_FALSE(policy) << text;
    EXPECT_EQ(policy.error().code, base::ErrorCode::invalid_argument);
    EXPECT_NE(policy.error().message.find(why), std::string::npos) << policy.error().message;
  }
}

TEST(PolicyFile, TheDefaultBoundsTheStore) {
  const Policy policy = default_policy();
  const PolicyRule& last = policy.rules.back();
  EXPECT_TRUE(last.filters.empty() && !last.unused_for && last.all);
  const DiskSpace disk{.total_bytes = 1'000'000'000'000, .free_bytes = 900'000'000'000};
  EXPECT_EQ(last.keep_bytes(200'000'000'000, disk), 100'000'000'000);
  EXPECT_EQ(last.effective_floor().on(disk), 10'000'000'000);
}

}  // namespace
}  // namespace cairn::cache
