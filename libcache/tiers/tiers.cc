// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libbase/thread_pool.h"
#include "libcache/cache.h"
#include "libcache/tiers/bringing.h"
#include "libcache/tiers/flights.h"
#include "libcache/tiers/negatives.h"
#include "libcache/tiers/write_behind.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

KeyDigest flight_of(const SizedBlob& blob) { return base::digest_of<KeyDigest>("blob " + blob.digest.hex()); }

WatchedTiers watched(std::vector<TierSettings> settings, const TiersOptions& options, const base::Clock& clock) {
  WatchedTiers tiers;
  for (TierSettings& each : settings) tiers.push_back(std::make_unique<WatchedTier>(std::move(each), options, clock));
  return tiers;
}

}  // namespace

// Members are destroyed from the last to the first: threads before what they use.
struct Tiers::State {
  State(Cache& cache_in, std::vector<TierSettings> settings, const base::Clock& clock_in, TiersOptions options_in)
      : cache(cache_in),
        entries(cache_in),
        clock(clock_in),
        options(std::move(options_in)),
        tiers(watched(std::move(settings), options, clock)),
        is_read(std::any_of(tiers.begin(), tiers.end(), [](const auto& tier) { return tier->is_read(); })) {}

  Result<bool> bring_entry(const EntryName& name, const ReadClosure& closure, const std::stop_token& stop);
  Status keep(const EntryName& name, const FoundEntry& found, const ReadClosure& closure, const std::stop_token& stop);
  void back_fill(NewEntry entry, const std::vector<std::size_t>& tiers_without);
  std::shared_ptr<const Outgoing> held(NewEntry entry);
  void fetch(const KeyDigest& key, Answered then, std::function<Result<bool>(const std::stop_token&)> bring);

  Cache& cache;
  EntryStore entries;
  const base::Clock& clock;
  const TiersOptions options;
  WatchedTiers tiers;
  const bool is_read;
  Negatives negatives{options.negative_time, options.negatives_max};
  WriteBehind outgoing{tiers, cache.blobs(), clock, options};
  Flights flights{clock};
  // A look-up does not stand in line behind transfers; and a task waits only for those of a pool before its own.
  HedgeBudget hedges{options.hedge_share, options.hedges_at_once};
  base::ThreadPool asks{{.threads = 2 * options.fetches_max}}, opens{{.threads = 2 * options.fetches_max}},
      transfers{{.threads = 2 * options.fetches_max}};
  Bringing bringing{tiers, cache.blobs(), entries, transfers, opens, hedges, clock, options};
  base::ThreadPool fetches{{.threads = options.fetches_max, .queue_max = options.fetches_queued}};
};

Tiers::Tiers(Cache& cache, std::vector<TierSettings> tiers, const base::Clock& clock, TiersOptions options)
    : state_(std::make_unique<State>(cache, std::move(tiers), clock, std::move(options))) {}
Tiers::~Tiers() = default;

// What was begun goes on when nobody waits any more: the next one who asks finds it.
void Tiers::State::fetch(const KeyDigest& key, Answered then,
                         std::function<Result<bool>(const std::stop_token&)> bring) {
  if (!flights.join(key, options.lookup_time, std::move(then))) return;
  const Status taken = fetches.submit([this, key, bring = std::move(bring)](const std::stop_token& stop) {
    const auto brought = bring(stop);
    if (!brought) base::log_info("nothing came of a fetch from the tiers: {}", brought.error().message);
    flights.land(key, brought.value_or(false) ? TierAnswer::found : TierAnswer::none);
  });
  if (!taken) flights.land(key, TierAnswer::not_asked);
}

void Tiers::fetch_entry(const EntryName& name, ReadClosure closure, Answered then) {
  State& state = *state_;
  const KeyDigest key = key_of(name);
  if (!state.is_read || name.trust != Trust::trusted || state.negatives.has(key, state.clock.steady_now()))
    return then(TierAnswer::none);
  state.fetch(key, std::move(then), [&state, name, closure = std::move(closure)](const std::stop_token& stop) {
    return state.bring_entry(name, closure, stop);
  });
}

void Tiers::fetch_blob(const SizedBlob& blob, Answered then) {
  State& state = *state_;
  if (!state.is_read) return then(TierAnswer::none);
  state.fetch(flight_of(blob), std::move(then), [&state, blob](const std::stop_token& stop) -> Result<bool> {
    TRY(state.bringing.bring(std::span(&blob, 1), std::nullopt, 0, stop));
    return true;
  });
}

Result<bool> Tiers::State::bring_entry(const EntryName& name, const ReadClosure& closure, const std::stop_token& stop) {
  const KeyDigest key = key_of(name);
  const Lookup looked = look_up(tiers, name, asks, hedges, clock, stop);
  if (!looked.found) {
    if (looked.all_said_no) negatives.add(key, clock.steady_now());
    return false;
  }
  if (looked.found->entry.build_time > std::chrono::nanoseconds(0))
    flights.limit(key, std::min<std::chrono::nanoseconds>(options.lookup_time, looked.found->entry.build_time));
  TRY(keep(name, *looked.found, closure, stop), "tier {}: entry {}", tiers[looked.found->tier]->name(), name.key);
  return true;
}

Status Tiers::State::keep(const EntryName& name, const FoundEntry& found, const ReadClosure& read_closure,
                          const std::stop_token& stop) {
  const TierEntry& got = found.entry;
  std::vector<SizedBlob> needed;
  const auto bring = [&](std::span<const SizedBlob> blobs) -> Status {
    return bringing.bring(blobs, name, found.tier, stop);
  };
  if (read_closure)
    needed = TRY(read_closure(got.value, bring));
  else if (got.closure)
    needed = *got.closure;
  // Once more if a prune takes what was there before it is named.
  for (int attempt = 0;; ++attempt) {
    TRY(bring(needed));
    if (options.room) TRY(options.room(got.value.size()));
    NewEntry entry{.name = name, .value = TRY(cache.blobs().put(got.value)).info.digest};
    for (const SizedBlob& blob : needed)
      if (blob.size > 0) entry.closure.push_back(blob.digest);
    entry.attributes = got.attributes;
    entry.build_time = got.build_time;
    const auto put = entries.put(entry, EntryStore::Existing::keep);
    if (!put && put.error().code == ErrorCode::not_found && attempt == 0) continue;
    TRY(put);
    std::vector<std::size_t> without = found.without_it;
    if (tiers[found.tier]->take_missed(name)) without.push_back(found.tier);
    back_fill(std::move(entry), without);
    return {};
  }
}

void Tiers::State::back_fill(NewEntry entry, const std::vector<std::size_t>& tiers_without) {
  if (tiers_without.empty() || !outgoing.has_lines()) return;
  if (const auto what = held(std::move(entry))) outgoing.add(what, &tiers_without);
}

// nullptr: it is gone, or was replaced, by somebody who has sent that.
std::shared_ptr<const Outgoing> Tiers::State::held(NewEntry entry) {
  auto there = entries.peek(entry.name);
  if (!there || !*there || (*there)->value != entry.value) return nullptr;
  return std::make_shared<const Outgoing>(Outgoing{std::move(entry), std::move((*there)->hold)});
}

void Tiers::send(const NewEntry& entry) {
  State& state = *state_;
  if (!state.outgoing.has_lines() || entry.name.trust != Trust::trusted) return;
  state.negatives.forget(key_of(entry.name));
  if (const auto what = state.held(entry)) state.outgoing.add(what);
}

std::size_t Tiers::drain(std::chrono::steady_clock::time_point deadline) { return state_->outgoing.drain(deadline); }

std::vector<TierStatistics> Tiers::statistics() const {
  std::vector<TierStatistics> all;
  for (std::size_t i = 0; i < state_->tiers.size(); ++i) {
    all.push_back(state_->tiers[i]->statistics());
    all.back().unsent = state_->outgoing.unsent(i);
  }
  return all;
}

}  // namespace cairn::cache
