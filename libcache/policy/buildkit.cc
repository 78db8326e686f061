// SPDX-License-Identifier: Apache-2.0
// BuildKit's buildkitd.toml, as far as it is about collection. spec/storage 6.1 has the keys and the default rules. One
// fact to know: keepBytes, gckeepstorage and reservedSpace are one thing, a floor that is also how far a rule without a
// cap goes down.
#include <algorithm>

#include "libcache/policy/amounts.h"
#include "libcache/policy/read.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::TomlTable;

namespace {

struct Caps {
  Space reserved, max_used, min_free;
  bool any() const { return reserved.is_given() || max_used.is_given() || min_free.is_given(); }
};

// Zero says nothing, as in BuildKit.
Result<Space> read_space(TomlTable& table, std::string_view key) {
  if (const auto bytes = TRY(table.integer(key)))
    return *bytes == 0 ? Space() : Space::bytes(static_cast<std::uint64_t>(*bytes));
  const auto text = TRY(table.text(key));
  if (!text || text->empty()) return Space();
  const auto space = parse_buildkit_space(*text);
  if (!space) return table.wrong(key, space.error().message);
  return *space == Space::bytes(0) || *space == Space::percent(0) ? Space() : *space;
}

Result<Caps> read_caps(TomlTable& table, std::string_view old_name) {
  Caps caps;
  const Space old = TRY(read_space(table, old_name));
  caps.reserved = TRY(read_space(table, "reservedSpace"));
  if (!caps.reserved.is_given()) caps.reserved = old;
  caps.max_used = TRY(read_space(table, "maxUsedSpace"));
  caps.min_free = TRY(read_space(table, "minFreeSpace"));
  return caps;
}

Result<std::optional<std::chrono::nanoseconds>> read_keep_duration(TomlTable& table) {
  using Age = std::optional<std::chrono::nanoseconds>;
  constexpr std::int64_t seconds_max = std::int64_t{200} * 366 * 86400;
  if (const auto seconds = TRY(table.integer("keepDuration"))) {
    if (*seconds > seconds_max) return table.wrong("keepDuration", "longer than 200 years");
    return *seconds == 0 ? Age() : Age(std::chrono::seconds(*seconds));
  }
  const auto text = TRY(table.text("keepDuration"));
  if (!text || text->empty()) return Age();
  const auto age = parse_age(*text);
  if (!age) return table.wrong("keepDuration", age.error().message);
  return age->count() == 0 ? Age() : Age(*age);
}

void set_caps(PolicyRule& rule, const Caps& caps) {
  rule.ceiling = caps.max_used;
  rule.floor = caps.reserved;
  rule.free = caps.min_free;
}

void note_floor(Policy& policy, std::size_t index) {
  const PolicyRule& rule = policy.rules[index];
  if (!rule.floor.is_given() || rule.ceiling.is_given()) return;
  policy.notes.push_back(fmt::format(
      "{}: keepBytes (gckeepstorage, reservedSpace) is a floor{}; maxUsedSpace would be a ceiling",
      rule_title(policy, index),
      rule.unused_for
          ? fmt::format(", and what is younger than {} stays whatever it takes", to_string(*rule.unused_for))
          : std::string()));
}

Result<PolicyRule> read_rule(TomlTable& table) {
  PolicyRule rule;
  TRY(read_filters(table, "filters", rule));
  if (const auto age = TRY(read_keep_duration(table))) rule.unused_for = std::max(*age, rule.unused_for.value_or(*age));
  set_caps(rule, TRY(read_caps(table, "keepBytes")));
  rule.all = TRY(table.truth("all")).value_or(false);
  TRY(table.expect_no_other());
  return rule;
}

Result<std::vector<PolicyRule>> default_rules(Caps caps) {
  using Part = Space::Part;
  if (!caps.any()) {
    caps.reserved = default_floor();
    caps.max_used = Space({{Part::Unit::percent, 80}, {Part::Unit::bytes, 100'000'000'000}});
    caps.min_free = Space::percent(20);
  }
  PolicyRule easy{
      .name = "easily made again", .unused_for = std::chrono::hours(48), .ceiling = Space::bytes(512'000'000)};
  for (const char* filter : {"type==source.local", "type==exec.cachemount", "type==source.git.checkout"})
    easy.filters.push_back(TRY(RecordFilter::parse(filter)));
  PolicyRule old{.name = "unused", .unused_for = std::chrono::hours(60 * 24)};
  PolicyRule cap{.name = "cap"};
  PolicyRule last{.name = "cap, internal too", .all = true};
  for (PolicyRule* rule : {&old, &cap, &last}) set_caps(*rule, caps);
  return std::vector<PolicyRule>{std::move(easy), std::move(old), std::move(cap), std::move(last)};
}

}  // namespace

bool is_buildkit_policy(const TomlTable& document) { return document.has("worker"); }

Result<Policy> read_buildkit_policy(TomlTable document) {
  Policy policy;
  policy.notes.push_back("translated from BuildKit's configuration");
  auto workers = TRY(document.table("worker"));
  auto oci = TRY(workers->table("oci"));
  auto containerd = TRY(workers->table("containerd"));
  if (oci && containerd) policy.notes.push_back("worker.oci counts; worker.containerd is ignored");
  auto worker = oci ? std::move(oci) : std::move(containerd);
  if (!worker) return document.wrong("worker", "want worker.oci or worker.containerd");
  if (!TRY(worker->truth("gc")).value_or(true)) {
    policy.notes.push_back("gc = false: nothing is collected");
    return policy;
  }
  const Caps caps = TRY(read_caps(*worker, "gckeepstorage"));
  auto rules = TRY(worker->tables("gcpolicy"));
  if (rules.empty()) {
    policy.rules = TRY(default_rules(caps));
  } else {
    for (TomlTable& rule : rules) policy.rules.push_back(TRY(read_rule(rule)));
    if (caps.any()) policy.notes.push_back("the worker's own caps do not count beside gcpolicy");
  }
  for (std::size_t i = 0; i < policy.rules.size(); ++i) note_floor(policy, i);
  note_risks(policy);
  add_backstop(policy);
  return policy;
}

}  // namespace cairn::cache
