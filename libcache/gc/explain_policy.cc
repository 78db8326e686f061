// SPDX-License-Identifier: Apache-2.0
#include "libcache/explain_policy.h"

#include <algorithm>

#include "libcache/gc/prune.h"
#include "libcache/gc/selection.h"
#include "libcache/gc/selection_view.h"

namespace cairn::cache {

using base::Result;

std::string_view to_string(RuleVerdict::Outcome outcome) {
  constexpr std::string_view words[] = {"taken",     "taken_before", "in_use",     "pinned",      "internal",     "other_filter",
                                        "too_young", "satisfied",    "built_upon", "below_floor", "later_in_line"};
  return words[static_cast<std::size_t>(outcome)];
}

Result<PolicyAnswer> explain_policy(base::lmdb::Env& env, const base::HostPath& root, const Policy& policy, RecordId id, base::WallTime now,
                                    std::optional<DiskSpace> disk, std::stop_token stop) {
  const auto view = view_rows(env, now);
  if (!TRY(view->load(id))) return base::fail(base::ErrorCode::not_found, "record {}: there is none in {}", id, root.str());
  SelectionRules rules{.policy = &policy, .now = now};
  rules.disk = disk ? *disk : TRY(measure_disk(env, root));
  rules.explained = id;
  PrunePlan plan = TRY(select_records(*view, rules, std::move(stop)), "explain record {}", id);
  PolicyAnswer answer{.verdicts = std::move(plan.verdicts), .taken = {}, .place = 0, .going = plan.picks.size()};
  const auto pick = std::find_if(plan.picks.begin(), plan.picks.end(), [&](const Pick& each) { return each.record.id == id; });
  if (pick == plan.picks.end()) return answer;
  answer.place = static_cast<std::size_t>(pick - plan.picks.begin()) + 1;
  answer.taken = PrunedRecord{std::move(pick->record), pick->rule, pick->frees_bytes};
  return answer;
}

}  // namespace cairn::cache
