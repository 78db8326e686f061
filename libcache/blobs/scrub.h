// SPDX-License-Identifier: Apache-2.0
// The scrubber: reads all blobs back and compares them with their names.
#pragma once

#include <stop_token>

#include "libcache/cache.h"

namespace cairn::cache {

base::Result<ScrubReport> scrub_blobs(Store& store, const ScrubOptions& options, std::stop_token stop);

}  // namespace cairn::cache
