// SPDX-License-Identifier: Apache-2.0
// Pins: leases that somebody sets by hand, so that records and blobs stay whatever a policy says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/lease.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

// A lease is a pin if its owner begins so; the rest is what whoever set it says of it.
inline constexpr const char* pin_owner = "pin: ";

struct PinOrder {
  enum class Action : std::uint8_t { set = 0, release = 1 };
  Action action = Action::set;
  std::vector<std::uint64_t> records;
  std::vector<BlobDigest> blobs;
  std::string note;
  std::optional<base::WallTime> expires;
  cache::LeaseId pin;  // release
};
// Durable. Errors: not_found (a record, a blob or the pin), invalid_argument (a long note), no_space, io.
base::Result<cache::LeaseId> run_order(Engine& engine, const PinOrder& order);

}  // namespace cairn::engine
