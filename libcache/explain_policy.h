// SPDX-License-Identifier: Apache-2.0
// What a policy says of one record: each rule in turn, by the code that selects for a collection, asked beside the owner of the
// store. What his process holds at the moment, and uses that he has not written yet, are not seen; leases are.
#pragma once

#include <optional>
#include <stop_token>
#include <string_view>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libcache/prune.h"

namespace cairn::cache {

// What one rule says of one record, and on what grounds.
struct RuleVerdict {
  enum class Outcome : std::uint8_t {
    taken = 0,         // by this rule
    taken_before = 1,  // by an earlier one
    in_use = 2,        // held by somebody, or leased
    pinned = 3,
    internal = 4,        // and the rule is not for what is internal
    other_filter = 5,    // no filter of the rule matches
    too_young = 6,       // used since the rule's age
    satisfied = 7,       // the rule has nothing to take: no more lives than may stay
    built_upon = 8,      // something that stays is built on it
    below_floor = 9,     // without it less would live than the floor
    later_in_line = 10,  // what stands before it is enough
  };
  Outcome outcome = Outcome::later_in_line;
  std::int64_t live_bytes = 0;  // of what the rule is about, when its turn came
  std::optional<std::int64_t> keep_bytes{}, floor_bytes{};
  bool operator==(const RuleVerdict&) const = default;
};
std::string_view to_string(RuleVerdict::Outcome outcome);  // the words above

struct PolicyAnswer {
  std::vector<RuleVerdict> verdicts;  // of each rule
  std::optional<PrunedRecord> taken;  // the record, if the next collection takes it
  std::size_t place = 0;              // then, in the order of removal, from 1
  std::size_t going = 0;              // how many records the collection takes
};
// disk: what the rules are to take the disk for; nullopt: as it is. Costs what the selection costs. Errors: not_found (no such
// record), corrupt, io, cancelled.
base::Result<PolicyAnswer> explain_policy(base::lmdb::Env& env, const base::HostPath& root, const Policy& policy, RecordId id, base::WallTime now,
                                          std::optional<DiskSpace> disk = {}, std::stop_token stop = {});

}  // namespace cairn::cache
