// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/flights.h"

#include "libcache/tiers/waiting.h"

namespace cairn::cache {

Flights::Flights(const base::Clock& clock)
    : clock_(clock), watch_([this](const std::stop_token& stop) { watch(stop); }) {}

Flights::~Flights() {
  watch_.request_stop();
  { const auto state = state_.lock(); }
  changed_.notify_all();
  watch_.join();
  auto flights = std::move(state_.lock()->flights);
  for (auto& [key, flight] : flights)
    for (Waiter& waiter : flight.waiters) waiter.then(TierAnswer::late);
}

bool Flights::join(const KeyDigest& key, std::chrono::nanoseconds at_most, Tiers::Answered then) {
  const Time now = clock_.steady_now();
  bool is_first = false;
  {
    auto state = state_.lock();
    auto [place, made] = state->flights.try_emplace(key);
    is_first = made;
    Flight& flight = place->second;
    flight.waiters.push_back({now, now + std::min(at_most, flight.at_most), std::move(then)});
  }
  changed_.notify_all();
  return is_first;
}

void Flights::limit(const KeyDigest& key, std::chrono::nanoseconds at_most) {
  {
    auto state = state_.lock();
    const auto found = state->flights.find(key);
    if (found == state->flights.end()) return;
    found->second.at_most = at_most;
    for (Waiter& waiter : found->second.waiters) waiter.deadline = std::min(waiter.deadline, waiter.began + at_most);
  }
  changed_.notify_all();
}

void Flights::land(const KeyDigest& key, TierAnswer answer) {
  Flight landed;
  {
    auto state = state_.lock();
    const auto found = state->flights.find(key);
    if (found == state->flights.end()) return;
    landed = std::move(found->second);
    state->flights.erase(found);
  }
  for (const Waiter& waiter : landed.waiters) waiter.then(answer);
}

std::vector<Tiers::Answered> Flights::State::take_late(Time now, std::optional<Time>& next) {
  std::vector<Tiers::Answered> late;
  for (auto& [key, flight] : flights)
    std::erase_if(flight.waiters, [&](Waiter& waiter) {
      if (waiter.deadline > now) {
        next = std::min(waiter.deadline, next.value_or(waiter.deadline));
        return false;
      }
      late.push_back(std::move(waiter.then));
      return true;
    });
  return late;
}

void Flights::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<Tiers::Answered> late;
    {
      auto state = state_.lock();
      std::optional<Time> next;
      late = state->take_late(clock_.steady_now(), next);
      if (late.empty() && !stop.stop_requested()) {
        if (next)
          changed_.wait_for(state.lock(),
                            std::min<std::chrono::nanoseconds>(*next - clock_.steady_now(), clock_is_looked_at));
        else
          changed_.wait(state.lock());
      }
    }
    for (const Tiers::Answered& then : late) then(TierAnswer::late);
  }
}

}  // namespace cairn::cache
