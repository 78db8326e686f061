// SPDX-License-Identifier: Apache-2.0
// A tier that is made of others, its *peers*: each thing is on some of them, its mirrors, which follow from its digest
// alone, so nobody has to keep where what is; a peer that comes or goes moves only what is its own. A sick peer makes
// what it has slower, or a miss, and nothing else (decision 34).
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "libbase/clock.h"
#include "libcache/remote_tier.h"
#include "libcache/tiers.h"

namespace cairn::cache {

struct TierPeer {
  std::unique_ptr<RemoteTier> tier;  // its name is who it is: of the same peers in another order all is the same
  double weight = 1;                 // one of 2 has twice as much as one of 1
};

// Which peers have a blob.
enum class ShardBy : std::uint8_t {
  entry,   // those of the entry that needs it (TierCall::entry): each peer has whole entries
  digest,  // those of its own digest: nothing is kept twice, and an entry needs many peers
};

struct ShardedOptions {
  std::size_t mirrors = 1;  // peers that have each thing
  ShardBy by = ShardBy::entry;
  std::chrono::milliseconds hedge_time{50};      // after which a mirror is asked beside one that has not answered
  std::chrono::milliseconds stall_time{10'000};  // after which one that sends or takes no more bytes is left
  TiersOptions rests{};  // of which the numbers of breakers are for each peer, and those of hedges for all of them
};

// Reads ask the first mirror that does not rest, then the next; blobs are verified, so that one with wrong bytes is
// like one without. Puts are done when one mirror has it, and go to all. The clock outlives it. Errors:
// invalid_argument (no peers, two of one name, no mirrors or more than peers, a weight that is not above 0, peers for
// different doors).
base::Result<std::unique_ptr<RemoteTier>> make_sharded_tier(std::vector<TierPeer> peers, const base::Clock& clock,
                                                            ShardedOptions options = {});

}  // namespace cairn::cache
