// SPDX-License-Identifier: Apache-2.0
// Why the lookup of a step that then ran has found nothing, as far as the store remembers.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "libcache/cache.h"
#include "libsolver/edge/graph.h"

namespace cairn::solver {

struct Missed {
  cache::MissCause cause = cache::MissCause::never_seen;  // or evicted, or key_differs
  std::optional<cache::Tombstone> evicted{};              // what a collection left of its keys
};
// One read transaction. A store that cannot say is no reason to fail: then it was never seen.
Missed why_missed(cache::Cache& cache, const KeyPlan& plan);

// As much of a step's name as a label may hold, cut between characters.
std::string owner_label(std::string_view name);

}  // namespace cairn::solver
