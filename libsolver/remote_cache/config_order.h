// SPDX-License-Identifier: Apache-2.0
// Ways through the document of a cache.
#pragma once

#include <string>
#include <vector>

#include "libsolver/cache_chains.h"

namespace cairn::solver {

// The records, each after all that it links to. Every link is to a record. Errors: corrupt (they lead in a circle).
base::Result<std::vector<std::size_t>> order_of_records(const CacheConfig& config);

// The blobs of a result whose topmost layer this is, the lowest first. Layers lead in no circle.
std::vector<std::string> blobs_below(const CacheConfig& config, std::size_t layer);

}  // namespace cairn::solver
