// SPDX-License-Identifier: Apache-2.0
// Makes the directories below trees/ and the rows of records agree, as Cache::repair_trees() says.
#pragma once

#include <stop_token>

#include "libcache/cache.h"

namespace cairn::cache {

base::Result<TreeRepair> repair_trees(Store& store, std::stop_token stop);

}  // namespace cairn::cache
