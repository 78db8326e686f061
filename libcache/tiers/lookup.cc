// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/lookup.h"

#include <algorithm>

namespace cairn::cache {

Lookup look_up(WatchedTiers& tiers, const EntryName& name, base::ThreadPool& asks, HedgeBudget& budget,
               const base::Clock& clock, const std::stop_token& stop) {
  std::vector<std::size_t> in_order;
  for (std::size_t i = 0; i < tiers.size(); ++i)
    if (tiers[i]->is_read() && tiers[i]->knows_door(name.door)) in_order.push_back(i);
  if (in_order.empty()) return {};
  const TierRaceRules rules{.only_one = OnlyOne::twice,
                            .hedge_time = &WatchedTier::hedge_time,
                            .budget = budget,
                            .pool = asks,
                            .clock = clock};
  auto outcome = TierRace<TierEntry>::run(tiers, in_order, rules, stop,
                                          [name](WatchedTier& tier, const std::shared_ptr<Attempt>& attempt) {
                                            return tier.find_entry(name, attempt->call.stop);
                                          });
  Lookup looked;
  // Each tier once, however often it was asked.
  const auto& noes = outcome.without_it;
  looked.all_said_no = std::all_of(in_order.begin(), in_order.end(), [&](std::size_t tier) {
    return std::find(noes.begin(), noes.end(), tier) != noes.end();
  });
  if (outcome.found)
    looked.found.emplace(FoundEntry{std::move(*outcome.found), outcome.tier, std::move(outcome.without_it)});
  return looked;
}

}  // namespace cairn::cache
