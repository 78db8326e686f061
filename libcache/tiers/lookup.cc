// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/lookup.h"

#include <algorithm>
#include <condition_variable>

#include "libcache/tiers/waiting.h"

namespace cairn::cache {

namespace {

// Shared with calls that nobody waits for any more.
struct Race {
  explicit Race(EntryName name_in) : name(std::move(name_in)) {}

  struct State {
    std::size_t begun = 0, ended = 0;
    std::vector<std::size_t> said_no;
    std::optional<FoundEntry> found;
    bool is_over() const { return found || begun == ended; }
    // Each tier once, however often it was asked.
    bool all_said_no(std::span<const std::size_t> asked) const {
      return std::all_of(asked.begin(), asked.end(), [&](std::size_t tier) {
        return std::find(said_no.begin(), said_no.end(), tier) != said_no.end();
      });
    }
  };
  const EntryName name;
  std::stop_source over;  // ends the calls of those who come second
  base::Guarded<State> state;
  std::condition_variable_any changed;

  void ask(WatchedTier& tier, std::size_t index) {
    auto answer = tier.find_entry(name, over.get_token());
    {
      auto locked = state.lock();
      ++locked->ended;
      if (answer && !*answer) locked->said_no.push_back(index);
      if (answer && *answer && !locked->found) locked->found.emplace(FoundEntry{std::move(**answer), index, {}});
    }
    changed.notify_all();
  }
};

void begin(const std::shared_ptr<Race>& race, WatchedTier& tier, std::size_t index, base::ThreadPool& asks) {
  ++race->state.lock()->begun;
  const base::Status taken = asks.submit([race, &tier, index](const std::stop_token&) { race->ask(tier, index); });
  if (!taken) race->ask(tier, index);
}

}  // namespace

Lookup look_up(WatchedTiers& tiers, const EntryName& name, base::ThreadPool& asks, const base::Clock& clock,
               const std::stop_token& stop) {
  std::vector<std::size_t> in_order;
  for (std::size_t i = 0; i < tiers.size(); ++i)
    if (tiers[i]->is_read() && tiers[i]->knows_door(name.door)) in_order.push_back(i);
  if (in_order.empty()) return {};
  const auto race = std::make_shared<Race>(name);
  const std::stop_callback stopped(stop, [race] { race->over.request_stop(); });
  // An only one may be asked twice: the second try often finds another server, or a new connection.
  for (std::size_t round = 0; round < std::max<std::size_t>(in_order.size(), 2); ++round) {
    const std::size_t index = in_order[std::min(round, in_order.size() - 1)];
    WatchedTier& tier = *tiers[index];
    {
      auto state = race->state.lock();
      if (state->found) break;
      if (round > 0 && !state->is_over()) tier.count_hedge();
      if (round > 0 && in_order.size() == 1 && state->is_over()) break;  // it has answered
    }
    begin(race, tier, index, asks);
    auto state = race->state.lock();
    const auto hedge = clock.steady_now() + tier.hedge_time();
    wait_until(race->changed, state.lock(), clock, hedge, [&] { return state->is_over() || stop.stop_requested(); });
  }
  // The calls themselves end at their deadlines.
  Lookup outcome;
  {
    auto state = race->state.lock();
    race->changed.wait(state.lock(), [&] { return state->is_over(); });
    outcome.all_said_no = state->all_said_no(in_order);
    if (state->found) {
      state->found->without_it = state->said_no;
      outcome.found = std::move(*state->found);
      state->found->entry = {};
    }
  }
  race->over.request_stop();
  return outcome;
}

}  // namespace cairn::cache
