// SPDX-License-Identifier: Apache-2.0
// What a repair of a store would do, found beside whoever owns it: metadata are read, blobs and trees are read back, and nothing is
// changed. A repair that begins while the store is still so does just that. It is found by the same code, but for blobs in chunks, of which a
// repair may count one with a chunk of it, or not.
#pragma once

#include <cstdint>
#include <stop_token>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/cache.h"

namespace cairn::cache {

struct RepairPlan {
  std::uint64_t rows = 0;  // Cache::repair_rows()
  BlobRepair blobs;        // Cache::repair_blobs()
  TreeRepair trees;        // Cache::repair_trees()
  ScrubReport scrubbed;    // Cache::scrub(), from the beginning, after these
};
// O(store). Errors: corrupt (a row cannot be read), cancelled, io.
base::Result<RepairPlan> plan_repair(base::lmdb::Env& env, const base::HostPath& root, std::stop_token stop = {});

}  // namespace cairn::cache
