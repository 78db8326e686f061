// SPDX-License-Identifier: Apache-2.0
// Makes the disk and the rows of blobs agree, as Cache::repair_blobs() says.
#pragma once

#include <stop_token>

#include "libcache/cache.h"

namespace cairn::cache {

base::Result<BlobRepair> repair_blobs(Store& store, std::stop_token stop);

}  // namespace cairn::cache
