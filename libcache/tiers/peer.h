// SPDX-License-Identifier: Apache-2.0
// One of the tiers that a sharded one is made of.
#pragma once

#include <atomic>
#include <memory>

#include "libbase/log/log.h"
#include "libcache/tiers/attempt.h"
#include "libcache/tiers/breaker.h"

namespace cairn::cache {

struct Peer {
  Peer(std::unique_ptr<RemoteTier> tier_in, const TiersOptions& options) : tier(std::move(tier_in)), breaker(options) {}

  // A call may be made. False: it rests.
  bool begin(Breaker::Time now) {
    const bool may = breaker.begin(now);
    if (may) ++requests;
    return may;
  }
  // Of a call that was begun, how it ended.
  void note(const base::Error& error, Breaker::Time now) {
    if (error.code != base::ErrorCode::cancelled) ++errors;
    const BreakerState before = breaker.state(now);
    breaker.ended(now, error.code);
    if (before == BreakerState::closed && breaker.state(now) == BreakerState::open)
      base::log_warning("peer {} rests: {}", tier->name(), error.message);
  }

  TierPeerStatistics statistics(Breaker::Time now) {
    return {.name = tier->name(),
            .requests = requests,
            .errors = errors,
            .hedges = hedges,
            .missed = missed,
            .bytes_in = bytes_in,
            .bytes_out = bytes_out,
            .state = breaker.state(now)};
  }

  const std::unique_ptr<RemoteTier> tier;
  Breaker breaker;
  std::atomic<std::uint64_t> requests{0}, errors{0}, hedges{0}, missed{0}, bytes_in{0}, bytes_out{0};
};

}  // namespace cairn::cache
