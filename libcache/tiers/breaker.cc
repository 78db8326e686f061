// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/breaker.h"

#include <algorithm>

namespace cairn::cache {

namespace {
constexpr unsigned doublings_max = 20;

// It says nothing of how the tier is: nobody waited for the end, it was asked for what it cannot do, or the trouble is
// here.
bool says_nothing(base::ErrorCode code) {
  using base::ErrorCode;
  return code == ErrorCode::cancelled || code == ErrorCode::invalid_argument || code == ErrorCode::no_space ||
         code == ErrorCode::not_found;
}

}  // namespace

bool Breaker::begin(Time now) {
  auto state = state_.lock();
  if (!state->resting) return true;
  if (now < state->until || state->trying) return false;
  state->trying = true;
  return true;
}

void Breaker::succeeded() { *state_.lock() = State(); }

void Breaker::failed(Time now, base::ErrorCode code) {
  auto state = state_.lock();
  ++state->failures;
  // Calls that were begun before it came to rest say nothing new.
  if (state->resting && !state->trying) return;
  const bool at_once = code == base::ErrorCode::busy || code == base::ErrorCode::unavailable;
  if (!state->trying && !at_once && state->failures < options_.failures_max) return;
  const unsigned doublings = std::min(state->rests, doublings_max);
  const auto rest = code == base::ErrorCode::unavailable
                        ? options_.rest_time_max
                        : std::min(options_.rest_time * (1u << doublings), options_.rest_time_max);
  ++state->rests;
  state->until = now + rest;
  state->resting = true;
  state->trying = false;
}

void Breaker::abandoned() { state_.lock()->trying = false; }

void Breaker::ended(Time now, base::ErrorCode code) { says_nothing(code) ? abandoned() : failed(now, code); }

BreakerState Breaker::state(Time now) {
  auto state = state_.lock();
  if (!state->resting) return BreakerState::closed;
  return now < state->until ? BreakerState::open : BreakerState::half_open;
}

Breaker::Time Breaker::rests_until() {
  auto state = state_.lock();
  return state->resting ? state->until : Time();
}

}  // namespace cairn::cache
