// SPDX-License-Identifier: Apache-2.0
// Where the bytes under a root are. Trees, trash, blobs and packs are sums that are kept with their rows (I9); what has no
// row (metadata, active trees, tmp/, a few files and directories) is measured.
#pragma once

#include <span>
#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

// root/trees/<id>.
base::HostPath tree_path(const base::HostPath& root, snapshot::SnapshotId id);
// The ids that directories under trees/ are named after, ascending. O(trees) names, nothing is opened.
base::Result<std::vector<snapshot::SnapshotId>> list_trees(const base::HostPath& root);

base::Result<DiskUsage> owner_disk_usage(Store& store);
// DiskUsage::live_bytes alone, for which nothing is measured but the metadata. O(packs).
base::Result<std::int64_t> live_bytes(base::lmdb::Env& env);

}  // namespace cairn::cache
