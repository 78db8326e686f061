// SPDX-License-Identifier: Apache-2.0
// What a policy takes from the store as it is now: the same code for a dry run and for a collection. It changes
// nothing. Of one state of rows, holds and uses, at one time, it says one thing.
//
// Cost: the candidates that go, those before them that may not (held, pinned, not what the rule is for), and those that
// were used since they got their place, by themselves or by what was made of them; not the store. A ceiling on a filter
// that is more than types adds up all records.
#pragma once

#include <cstdint>
#include <stop_token>
#include <utility>
#include <vector>

#include "libcache/explain_policy.h"
#include "libcache/gc/candidates.h"
#include "libcache/gc/selection_view.h"
#include "libcache/prune.h"

namespace cairn::cache {

struct Store;

enum class Reach : std::uint8_t { unkeyed_only, everything };

// Records that only what was taken has kept, with the rule that took it: it takes them, too, whatever their age.
using Orphans = std::vector<std::pair<RecordId, std::uint32_t>>;

struct SelectionRules {
  const Policy* policy = nullptr;
  Reach reach = Reach::everything;  // unkeyed_only: what a key leads to stays, whatever the rules say
  DiskSpace disk{};
  base::WallTime now{};
  std::size_t picks_max = SIZE_MAX;     // stop here; selecting again afterwards, with the orphans of before, goes on
  const Orphans* orphans = nullptr;     // PrunePlan::orphans of the last time
  std::optional<RecordId> explained{};  // the one that PrunePlan::verdicts are about
};

struct Pick {
  RecordInfo record;
  std::uint32_t rule = 0;
  std::int64_t frees_bytes = 0;
};

struct PrunePlan {
  std::vector<Pick> picks;  // children before parents
  // Candidates that stay and are worth something else than their place says.
  std::vector<std::pair<RecordId, PlacesRow>> moves;
  Orphans orphans;                    // that would be next
  std::vector<RuleVerdict> verdicts;  // of each rule
  std::uint64_t rows_visited = 0;
  Passed passed;
};

// Errors: corrupt, io, cancelled.
base::Result<PrunePlan> select_records(SelectionView& view, const SelectionRules& rules, std::stop_token stop = {});
base::Result<PrunePlan> select_records(Store& store, const SelectionRules& rules, std::stop_token stop = {});

}  // namespace cairn::cache
