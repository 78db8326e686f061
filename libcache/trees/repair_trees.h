// SPDX-License-Identifier: Apache-2.0
// Makes the directories below trees/ and the rows of records agree, as Cache::repair_trees() says.
#pragma once

#include <stop_token>
#include <utility>
#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

base::Result<TreeRepair> repair_trees(Store& store, std::stop_token stop);

// Of what is listed below trees/: records that are not known to be damaged and have none of it, with the snapshot that they should have.
using MissingTrees = std::vector<std::pair<RecordId, snapshot::SnapshotId>>;
base::Result<MissingTrees> find_missing_trees(base::lmdb::Env& env, const base::HostPath& root, const std::vector<snapshot::SnapshotId>& listed);
// And directories that nobody names, with what erasing them frees.
using StrayTrees = std::vector<std::pair<snapshot::SnapshotId, snapshot::Usage>>;
base::Result<StrayTrees> find_stray_trees(base::lmdb::Env& env, const base::HostPath& root, const std::vector<snapshot::SnapshotId>& listed);

}  // namespace cairn::cache
