// SPDX-License-Identifier: Apache-2.0
#include "libcache/quota.h"

#include <utility>

namespace cairn::cache {

Policy with_quota(Policy policy, const Quota& quota) {
  if (quota.hard_bytes == 0) return policy;
  const auto soft = static_cast<std::uint64_t>(quota.soft());
  for (PolicyRule& rule : policy.rules) {
    const Space floor = rule.effective_floor();
    if (!floor.is_given()) continue;
    std::vector<Space::Part> parts = floor.parts();
    parts.push_back({Space::Part::Unit::bytes, soft / 2});
    rule.floor = Space(std::move(parts));
  }
  policy.rules.push_back({.name = "quota", .ceiling = Space::bytes(soft), .all = true});
  return policy;
}

}  // namespace cairn::cache
