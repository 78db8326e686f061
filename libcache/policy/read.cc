// SPDX-License-Identifier: Apache-2.0
// Our own file: pins, then rules, in words that say what they mean.
#include "libcache/policy/read.h"

#include <algorithm>

namespace cairn::cache {

using base::ErrorCode;
using base::KeyCase;
using base::Result;
using base::Status;
using base::TomlTable;

namespace {

constexpr std::size_t policy_bytes_max = 1 << 20;
constexpr std::size_t rules_max = 256;

Result<Space> read_space(TomlTable& table, std::string_view key) {
  std::vector<Space::Part> parts;
  for (const std::string& text : TRY(table.texts(key))) {
    const auto space = parse_space(text);
    if (!space) return table.wrong(key, space.error().message);
    parts.insert(parts.end(), space->parts().begin(), space->parts().end());
  }
  if (parts.empty() && table.has(key)) return table.wrong(key, "want an amount of space");
  return Space(std::move(parts));
}

Result<PolicyRule> read_rule(TomlTable& table) {
  PolicyRule rule;
  rule.name = TRY(table.text("name")).value_or("");
  TRY(read_filters(table, "filter", rule));
  if (const auto age = TRY(table.text("unused_for"))) {
    const auto parsed = parse_age(*age);
    if (!parsed) return table.wrong("unused_for", parsed.error().message);
    rule.unused_for = *parsed;
  }
  rule.ceiling = TRY(read_space(table, "ceiling"));
  rule.floor = TRY(read_space(table, "floor"));
  rule.free = TRY(read_space(table, "free"));
  rule.all = TRY(table.truth("all")).value_or(false);
  TRY(table.expect_no_other());
  return rule;
}

Result<PolicyOrder> read_order(TomlTable& document) {
  const std::string order = TRY(document.text("order")).value_or("cost");
  if (order == "cost") return PolicyOrder::cost;
  if (order == "lru") return PolicyOrder::lru;
  return document.wrong("order", fmt::format("\"{}\" is no order; want cost or lru", order));
}

// A rule with neither ceiling nor free space to reach takes all it may.
bool bounds_everything(const PolicyRule& rule) {
  return rule.filters.empty() && !rule.unused_for && (rule.ceiling.is_given() || !rule.free.is_given());
}

}  // namespace

Status read_filters(TomlTable& table, std::string_view key, PolicyRule& rule) {
  for (const std::string& text : TRY(table.texts(key))) {
    auto filter = RecordFilter::parse(text);
    if (!filter) return table.wrong(key, filter.error().message);
    if (const auto age = filter->unused_for()) rule.unused_for = std::max(*age, rule.unused_for.value_or(*age));
    rule.filters.push_back(std::move(*filter));
  }
  return {};
}

// Whoever writes rules of his own does not mean to do without a cap.
void add_backstop(Policy& policy) {
  if (std::any_of(policy.rules.begin(), policy.rules.end(), bounds_everything)) return;
  policy.notes.push_back(
      "nothing else bounds the store, whatever its age, so a last rule does: a ceiling of 80% of the disk");
  policy.rules.push_back(
      PolicyRule{.name = "backstop", .ceiling = Space::percent(80), .floor = default_floor(), .all = true});
}

void note_risks(Policy& policy) {
  for (std::size_t i = 0; i < policy.rules.size(); ++i) {
    const PolicyRule& rule = policy.rules[i];
    if (rule.unused_for && rule.ceiling.is_given())
      policy.notes.push_back(fmt::format("{}: what is younger than {} stays even above the ceiling of {}",
                                         rule_title(policy, i), to_string(*rule.unused_for), rule.ceiling.str()));
    if (rule.free.is_given() && !rule.floor.is_given())
      policy.notes.push_back(fmt::format("{}: free space without a floor: {} stay in any case", rule_title(policy, i),
                                         default_floor().str()));
  }
}

Result<Policy> read_own_policy(TomlTable document) {
  Policy policy;
  policy.order = TRY(read_order(document));
  const bool only_these_rules = TRY(document.truth("only_these_rules")).value_or(false);
  for (TomlTable& pin : TRY(document.tables("pin"))) {
    PolicyRule pinned;
    TRY(read_filters(pin, "filter", pinned));
    if (pinned.filters.empty()) return pin.wrong("filter", "a pin needs a filter");
    if (pinned.unused_for) return pin.wrong("filter", "a pin has no age");
    TRY(pin.expect_no_other());
    for (RecordFilter& filter : pinned.filters) policy.pins.push_back(std::move(filter));
  }
  for (TomlTable& table : TRY(document.tables("rule"))) policy.rules.push_back(TRY(read_rule(table)));
  if (policy.rules.size() > rules_max) return document.wrong("rule", fmt::format("more than {} rules", rules_max));
  TRY(document.expect_no_other());
  note_risks(policy);
  if (!only_these_rules) add_backstop(policy);
  return policy;
}

Result<Policy> parse_policy(std::string_view text, std::string_view name) {
  if (text.size() > policy_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "{}: a policy has at most {} bytes", name, policy_bytes_max);
  const toml::parse_result parsed = TRY(base::parse_toml(text, name));
  TomlTable document(parsed.table(), std::string(name), "", KeyCase::exact);
  if (is_buildkit_policy(document))
    return read_buildkit_policy(TomlTable(parsed.table(), std::string(name), "", KeyCase::ignored));
  return read_own_policy(std::move(document));
}

}  // namespace cairn::cache
