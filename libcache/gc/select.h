// SPDX-License-Identifier: Apache-2.0
// What a prune would remove, chosen from rows and holds as they are now: the same code for a dry run and a real one.
#pragma once

#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

enum class Reach { unkeyed_only, everything };

// Records that may go, children before parents: held and leased by nobody, with no child that stays, and led to by no key (unless
// `everything`). O(records + keys).
base::Result<std::vector<RecordId>> select_records(Store& store, Reach reach);

// Blobs that no record names except those of `gone`, and that nobody has put and may still name. O(blobs).
base::Result<std::vector<BlobInfo>> select_blobs(Store& store, const std::vector<RecordId>& gone);

}  // namespace cairn::cache
