// SPDX-License-Identifier: Apache-2.0
// Asking tiers for one thing: in their order, the next one when one does not have it or has failed, and beside one that
// takes long; the first who has it counts, and the others are told that nobody waits for them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <memory>
#include <optional>
#include <vector>

#include "libbase/thread_pool.h"
#include "libcache/tiers/attempt.h"
#include "libcache/tiers/hedge_budget.h"
#include "libcache/tiers/waiting.h"
#include "libcache/tiers/watched_tier.h"

namespace cairn::cache {

using WatchedTiers = std::vector<std::unique_ptr<WatchedTier>>;

// How often one is asked that has no other beside it: the second try often finds another server, or a new connection.
enum class OnlyOne : std::uint8_t { once, twice };

struct TierRaceRules {
  OnlyOne only_one = OnlyOne::once;
  std::chrono::nanoseconds (WatchedTier::*hedge_time)() const;  // of the one that is waited for
  HedgeBudget& budget;
  base::ThreadPool& pool;  // has threads for it, and ends before the tiers do
  const base::Clock& clock;
};

template <class Found>
class TierRace {
 public:
  // nullopt: this one does not have it.
  using Answer = base::Result<std::optional<Found>>;
  using Ask = std::function<Answer(WatchedTier& tier, const std::shared_ptr<Attempt>& attempt)>;
  struct Outcome {
    std::optional<Found> found;
    std::size_t tier = 0;                   // that has it
    std::vector<std::size_t> without_it{};  // that said no
    std::vector<std::size_t> failed{};
    std::optional<base::Error> error{};  // of the last one that failed
  };

  // Blocks for as long as the calls take that it needs. `order`: of one tier at least.
  static Outcome run(WatchedTiers& tiers, const std::vector<std::size_t>& order, const TierRaceRules& rules,
                     const std::stop_token& stop, Ask ask) {
    const auto shared = std::make_shared<Shared>(std::move(ask));
    const bool is_alone = order.size() == 1;
    const std::size_t rounds = is_alone && rules.only_one == OnlyOne::twice ? 2 : order.size();
    for (std::size_t round = 0; round < rounds; ++round) {
      const std::size_t index = order[std::min(round, order.size() - 1)];
      if (round > 0) {
        const Turn turn = wait_for_turn(*shared, rules, stop);
        if (turn == Turn::none || (turn == Turn::alone && is_alone)) break;  // it has answered
        if (turn == Turn::beside) tiers[index]->count_hedge();
        if (turn == Turn::alone) rules.budget.earn();
      } else {
        rules.budget.earn();
      }
      begin(shared, *tiers[index], index, stop, rounds > 1 ? &rules.pool : nullptr);
    }
    return finish(*shared);
  }

 private:
  enum class Turn : std::uint8_t { none, alone, beside };
  struct Call {
    WatchedTier* tier;
    std::shared_ptr<Attempt> attempt;
  };
  struct State {
    std::vector<Call> calls;
    std::size_t ended = 0, winner = 0;
    bool is_won = false;
    Outcome outcome;
    bool is_over() const { return is_won || ended == calls.size(); }
  };
  // With calls that nobody waits for any more.
  struct Shared {
    explicit Shared(Ask ask_in) : ask(std::move(ask_in)) {}
    const Ask ask;
    base::Guarded<State> state{};
    std::condition_variable_any changed{};
  };

  static void begin(const std::shared_ptr<Shared>& shared, WatchedTier& tier, std::size_t index,
                    const std::stop_token& stop, base::ThreadPool* pool) {
    const auto attempt = std::make_shared<Attempt>(TierCall{.deadline = {}, .stop = stop});
    std::size_t call = 0;
    {
      auto state = shared->state.lock();
      call = state->calls.size();
      state->calls.push_back({&tier, attempt});
    }
    const auto ask = [shared, &tier, index, attempt, call](const std::stop_token&) {
      auto answer = shared->ask(tier, attempt);
      {
        auto state = shared->state.lock();
        if (state->is_won && call < state->winner) tier.was_overtaken();
        take_answer(*state, std::move(answer), index, call);
      }
      shared->changed.notify_all();
    };
    if (pool == nullptr || !pool->submit(ask)) ask({});
  }

  static void take_answer(State& state, Answer answer, std::size_t index, std::size_t call) {
    ++state.ended;
    if (state.is_won) return;
    if (!answer) {
      state.outcome.failed.push_back(index);
      state.outcome.error = std::move(answer.error());
    } else if (!*answer) {
      state.outcome.without_it.push_back(index);
    } else {
      state.is_won = true;
      state.winner = call;
      state.outcome.tier = index;
      state.outcome.found = std::move(**answer);
    }
  }

  // When another one may be asked: nobody is asked any more, or it takes long and there is something left for that, or
  // all who are asked have come to rest meanwhile.
  static Turn wait_for_turn(Shared& shared, const TierRaceRules& rules, const std::stop_token& stop) {
    const WatchedTier& last = *shared.state.lock()->calls.back().tier;
    for (;;) {
      const auto hedge = rules.clock.steady_now() + (last.*rules.hedge_time)();
      std::vector<Call> calls;
      {
        auto state = shared.state.lock();
        wait_until(shared.changed, state.lock(), rules.clock, hedge,
                   [&] { return state->is_over() || stop.stop_requested(); });
        if (state->is_won || stop.stop_requested()) return Turn::none;
        if (state->is_over()) return Turn::alone;
        calls = state->calls;
      }
      const bool all_rest =
          std::all_of(calls.begin(), calls.end(), [](const Call& call) { return call.tier->rests_for_reads(); });
      if (all_rest || rules.budget.take()) return Turn::beside;
    }
  }

  static Outcome finish(Shared& shared) {
    std::vector<Call> calls;
    Outcome outcome;
    {
      auto state = shared.state.lock();
      shared.changed.wait(state.lock(), [&] { return state->is_over(); });  // calls end at their deadlines
      calls = state->calls;
      if (state->is_won) calls.erase(calls.begin() + static_cast<std::ptrdiff_t>(state->winner));
      outcome = std::move(state->outcome);
    }
    for (const Call& each : calls) each.attempt->own.request_stop();
    return outcome;
  }
};

}  // namespace cairn::cache
