// SPDX-License-Identifier: Apache-2.0
// Which blobs go with records: the same code for a dry run and a real one.
#pragma once

#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

// Blobs that no record names except those of `gone`, and that nobody leases or has put and may still name. O(blobs).
base::Result<std::vector<BlobInfo>> select_blobs(Store& store, const std::vector<RecordId>& gone);

}  // namespace cairn::cache
