// SPDX-License-Identifier: Apache-2.0
// Finding an entry in the tiers that are read: in their order, and a second one beside the first that takes long.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "libcache/tiers/tier_race.h"

namespace cairn::cache {

struct FoundEntry {
  TierEntry entry;
  std::size_t tier = 0;                   // that has it
  std::vector<std::size_t> without_it{};  // that said no
};
struct Lookup {
  std::optional<FoundEntry> found;
  bool all_said_no = false;
};

// Blocks, for at most the time of a look-up for each tier. `asks` has threads for it, and ends before the tiers do.
Lookup look_up(WatchedTiers& tiers, const EntryName& name, base::ThreadPool& asks, HedgeBudget& budget,
               const base::Clock& clock, const std::stop_token& stop);

}  // namespace cairn::cache
