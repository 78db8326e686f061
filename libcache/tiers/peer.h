// SPDX-License-Identifier: Apache-2.0
// One of the tiers that a sharded one is made of, and one call of it that can be ended alone.
#pragma once

#include <functional>
#include <memory>

#include "libbase/log/log.h"
#include "libcache/tiers/breaker.h"

namespace cairn::cache {

struct Peer {
  Peer(std::unique_ptr<RemoteTier> tier_in, const TiersOptions& options) : tier(std::move(tier_in)), breaker(options) {}

  // Of a call that was begun, how it ended.
  void note(const base::Error& error, Breaker::Time now) {
    const BreakerState before = breaker.state(now);
    breaker.ended(now, error.code);
    if (before == BreakerState::closed && breaker.state(now) == BreakerState::open)
      base::log_warning("peer {} rests: {}", tier->name(), error.message);
  }

  const std::unique_ptr<RemoteTier> tier;
  Breaker breaker;
};

struct Attempt {
  explicit Attempt(const TierCall& of)
      : call{of.deadline, own.get_token(), of.entry}, link(of.stop, [this] { own.request_stop(); }) {}
  std::stop_source own;
  const TierCall call;
  std::stop_callback<std::function<void()>> link;  // whoever ends all of them ends this one, too
};

}  // namespace cairn::cache
