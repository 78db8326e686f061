// SPDX-License-Identifier: Apache-2.0
// Asking several peers for one thing: in their order, the next one when one does not have it, has failed, or takes
// long; the first who has it counts, and the others are told that nobody waits for them.
#pragma once

#include <algorithm>
#include <condition_variable>
#include <optional>
#include <span>
#include <vector>

#include "libbase/sync.h"
#include "libbase/thread_pool.h"
#include "libcache/tiers/hedge_budget.h"
#include "libcache/tiers/peer.h"
#include "libcache/tiers/waiting.h"

namespace cairn::cache {

struct RaceRules {
  std::size_t enough = 1;  // so many who do not have it are believed
  std::chrono::nanoseconds hedge_time;
  HedgeBudget& budget;
  std::string_view name;  // of all of them together, for errors
};

// Shared with calls that nobody waits for any more.
template <class Found>
class PeerRace {
 public:
  // nullopt: this one does not have it.
  using Answer = base::Result<std::optional<Found>>;
  using Ask = std::function<Answer(Peer& peer, const std::shared_ptr<Attempt>& attempt)>;
  struct Outcome {
    std::optional<Found> found;
    std::vector<Peer*> without_it;  // that had said no by then
  };

  PeerRace(RaceRules rules, const base::Clock& clock, Ask ask) : rules_(rules), clock_(clock), ask_(std::move(ask)) {}

  // `pool` has threads for it. nullopt: so many as are enough do not have it, or all who could be asked. Errors: the
  // first one of the peers if none of them has answered; busy (all rest).
  static base::Result<Outcome> run(std::span<Peer* const> order, RaceRules rules, const TierCall& call,
                                   base::ThreadPool& pool, const base::Clock& clock, Ask ask) {
    const auto race = std::make_shared<PeerRace>(rules, clock, std::move(ask));
    for (auto next = order.begin();;) {
      const auto [is_over, may_begin, open, ended] = race->look();
      if (is_over) break;
      if (open > 0 && may_begin && next != order.end() && !race->may_hedge()) {
        race->wait(ended, true);
        continue;
      }
      Peer* peer = nullptr;
      const bool has_time = clock.steady_now() < call.deadline && !call.stop.stop_requested();
      while (may_begin && has_time && peer == nullptr && next != order.end())
        if (Peer* const candidate = *next++; candidate->begin(clock.steady_now())) peer = candidate;
      if (peer == nullptr && open == 0) break;
      if (peer != nullptr && open > 0) ++peer->hedges;
      if (peer != nullptr && open == 0) rules.budget.earn();
      if (peer != nullptr) begin(race, *peer, call, pool);
      race->wait(ended, peer != nullptr && next != order.end());
    }
    return race->finish(call);
  }

 private:
  struct State {
    std::vector<std::shared_ptr<Attempt>> attempts;
    std::vector<Peer*> asked;
    std::size_t ended = 0, winner = 0;
    std::vector<Peer*> noes;
    std::optional<Found> found;
    std::optional<base::Error> error;
  };
  struct Look {
    bool is_over, may_begin;
    std::size_t open, ended;
  };
  Look look() {
    auto state = state_.lock();
    const std::size_t open = state->attempts.size() - state->ended;
    const std::size_t noes = state->noes.size();
    return {state->found || noes >= rules_.enough, open + noes < rules_.enough, open, state->ended};
  }

  static void begin(const std::shared_ptr<PeerRace>& race, Peer& peer, const TierCall& call, base::ThreadPool& pool) {
    const auto attempt = std::make_shared<Attempt>(call);
    std::size_t index = 0;
    {
      auto state = race->state_.lock();
      index = state->attempts.size();
      state->attempts.push_back(attempt);
      state->asked.push_back(&peer);
    }
    const auto ask = [race, &peer, attempt, index](const std::stop_token&) { race->ask_one(peer, attempt, index); };
    if (race->rules_.enough == 1 || !pool.submit(ask)) ask({});  // nobody is asked beside an only one
  }

  void ask_one(Peer& peer, const std::shared_ptr<Attempt>& attempt, std::size_t index) {
    auto answer = ask_(peer, attempt);
    bool was_late = false;
    {
      auto state = state_.lock();
      was_late = state->found && index < state->winner;
    }
    // One that others overtake time and again is as good as silent.
    if (answer)
      peer.breaker.succeeded();
    else if (was_late && answer.error().code == base::ErrorCode::cancelled)
      peer.note(base::fail(base::ErrorCode::io, "{}: another one was faster", peer.tier->name()).value(),
                clock_.steady_now());
    else
      peer.note(answer.error(), clock_.steady_now());
    {
      auto state = state_.lock();
      ++state->ended;
      if (!answer && !state->error) state->error = answer.error();
      if (answer && !*answer) state->noes.push_back(&peer);
      if (answer && *answer && !state->found) {
        state->found = std::move(**answer);
        state->winner = index;
      }
    }
    changed_.notify_all();
  }

  // There is something left for it, or all who are asked have come to rest meanwhile.
  bool may_hedge() {
    const std::vector<Peer*> asked = state_.lock()->asked;
    const auto now = clock_.steady_now();
    const bool all_rest = std::all_of(asked.begin(), asked.end(),
                                      [&](Peer* peer) { return peer->breaker.state(now) == BreakerState::open; });
    return all_rest || rules_.budget.take();
  }

  void wait(std::size_t ended, bool for_hedge) {
    auto state = state_.lock();
    const auto is_news = [&] { return state->ended > ended; };
    if (for_hedge && rules_.enough > 1)
      wait_until(changed_, state.lock(), clock_, clock_.steady_now() + rules_.hedge_time, is_news);
    else
      changed_.wait(state.lock(), is_news);  // calls end at their deadlines
  }

  base::Result<Outcome> finish(const TierCall& call) {
    std::vector<std::shared_ptr<Attempt>> losers;
    Outcome outcome;
    std::optional<base::Error> error;
    {
      auto state = state_.lock();
      outcome.found = std::move(state->found);
      if (outcome.found) state->found.emplace();  // for those who come second: there was one
      error = state->error;
      outcome.without_it = state->noes;
      losers = state->attempts;
      if (outcome.found) losers.erase(losers.begin() + static_cast<std::ptrdiff_t>(state->winner));
    }
    for (const auto& each : losers) each->own.request_stop();
    if (outcome.found || !outcome.without_it.empty()) return outcome;
    if (error) return tl::unexpected(std::move(*error));
    if (call.stop.stop_requested())
      return base::fail(base::ErrorCode::cancelled, "{}: nobody waits for it any more", rules_.name);
    if (clock_.steady_now() >= call.deadline)
      return base::fail(base::ErrorCode::io, "{}: not done in the time that there was", rules_.name);
    return base::fail(base::ErrorCode::busy, "{}: all of them rest", rules_.name);
  }

  const RaceRules rules_;
  const base::Clock& clock_;
  const Ask ask_;
  base::Guarded<State> state_;
  std::condition_variable_any changed_;
};

}  // namespace cairn::cache
