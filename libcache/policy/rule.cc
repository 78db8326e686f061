// SPDX-License-Identifier: Apache-2.0
// What a rule and a policy mean, apart from any file.
#include <algorithm>

#include "libcache/policy.h"

namespace cairn::cache {

Space PolicyRule::effective_floor() const { return floor.is_given() || !free.is_given() ? floor : default_floor(); }

std::optional<std::int64_t> PolicyRule::keep_bytes(std::int64_t live_bytes, const DiskSpace& disk) const {
  const auto stays = effective_floor().on(disk);
  if (!ceiling.is_given() && !free.is_given()) return stays;
  std::int64_t keep = ceiling.on(disk).value_or(live_bytes);
  const std::int64_t missing = free.on(disk).value_or(0) - disk.free_bytes;
  if (missing > 0) keep = std::min(keep, live_bytes - missing);
  return std::max({keep, stays.value_or(0), std::int64_t{0}});
}

std::optional<std::vector<RecordType>> PolicyRule::only_types() const {
  if (filters.empty()) return std::nullopt;
  std::vector<RecordType> types;
  for (const RecordFilter& filter : filters) {
    const auto type = filter.only_type();
    if (!type) return std::nullopt;
    if (std::find(types.begin(), types.end(), *type) == types.end()) types.push_back(*type);
  }
  return types;
}

bool PolicyRule::matches(const RecordInfo& record, InUse in_use) const {
  return filters.empty() || std::any_of(filters.begin(), filters.end(),
                                        [&](const RecordFilter& filter) { return filter.matches(record, in_use); });
}

Space default_floor() { return Space({{Space::Part::Unit::percent, 10}, {Space::Part::Unit::bytes, 10'000'000'000}}); }

Policy default_policy() {
  using Part = Space::Part;
  Policy policy;
  PolicyRule old{.name = "unused", .unused_for = std::chrono::hours(60 * 24), .floor = default_floor()};
  PolicyRule cap{.name = "space",
                 .ceiling = Space({{Part::Unit::percent, 80}, {Part::Unit::bytes, 100'000'000'000}}),
                 .floor = default_floor(),
                 .free = Space::percent(20),
                 .all = true};
  policy.rules.push_back(std::move(old));
  policy.rules.push_back(std::move(cap));
  return policy;
}

std::string rule_title(const Policy& policy, std::size_t index) {
  const std::string& name = policy.rules[index].name;
  return name.empty() ? fmt::format("rule {}", index + 1) : fmt::format("rule {} \"{}\"", index + 1, name);
}

}  // namespace cairn::cache
