// SPDX-License-Identifier: Apache-2.0
// A bound on what a store may hold that is not a policy's but an installation's: from the soft one on the collector works,
// and whoever serves others refuses what would go beyond the hard one.
#pragma once

#include <cstdint>

#include "libcache/policy.h"

namespace cairn::cache {

struct Quota {
  std::int64_t soft_bytes = 0;  // of live bytes, as DiskUsage has them; 0: nine tenths of the hard one
  std::int64_t hard_bytes = 0;  // 0: none, and then there is no quota at all
  std::int64_t soft() const { return soft_bytes != 0 ? soft_bytes : hard_bytes / 10 * 9; }
};

// The policy with a last rule, "quota", whose ceiling is the soft bound. No floor of another rule is higher than half of
// it: what a policy keeps on a large disk must not be more than there may be.
Policy with_quota(Policy policy, const Quota& quota);

}  // namespace cairn::cache
