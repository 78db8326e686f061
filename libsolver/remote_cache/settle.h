// SPDX-License-Identifier: Apache-2.0
// How those who write to one name get out of each other's way.
#pragma once

#include <chrono>
#include <stop_token>

#include "libsolver/remote_cache.h"

namespace cairn::solver {

inline constexpr int write_rounds_max = 100;

// Where a name is what it was set to last: returns after longer than anybody takes from his last look at it to setting
// it, so that whoever looks then sees what became of his (decision 37). Errors: cancelled.
base::Status settle(const CacheAddress& address, const std::stop_token& stop);
// Where somebody else was first, for the round-th time: returns after a while of another length for each.
base::Status stand_back(const CacheAddress& address, int round, const std::stop_token& stop);

}  // namespace cairn::solver
