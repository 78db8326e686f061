// SPDX-License-Identifier: Apache-2.0
// Two caches as one: records that are equal are united, and of each the newest result stays.
#pragma once

#include "libsolver/remote_cache.h"

namespace cairn::solver {

// The same for equal caches, whoever wrote them. Results of layers that are not described are left out. Errors:
// corrupt, invalid_argument (over a limit).
base::Result<WrittenCache> merge_caches(const WrittenCache& known, const WrittenCache& added);

// Whether they hold the same records, links and layers; when a result was made does not count.
bool hold_the_same(const CacheConfig& a, const CacheConfig& b);

}  // namespace cairn::solver
