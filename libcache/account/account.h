// SPDX-License-Identifier: Apache-2.0
// Where the bytes under a root are. Trees, trash and blobs are sums over rows (I9); what has no row (metadata, active
// trees, a few files and directories) is measured.
#pragma once

#include <span>
#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

// root/trees/<id>.
base::HostPath tree_path(const base::HostPath& root, snapshot::SnapshotId id);
// The ids that directories under trees/ are named after, ascending. O(trees) names, nothing is opened.
base::Result<std::vector<snapshot::SnapshotId>> list_trees(const base::HostPath& root);

// Everything but active_bytes and total_bytes.
base::Result<DiskUsage> usage_of_rows_and_files(base::lmdb::Env& env, const base::HostPath& root);
// Bytes of trees that no row accounts for; one that goes meanwhile counts nothing.
base::Result<std::int64_t> measure_trees(const base::HostPath& root, std::span<const snapshot::SnapshotId> ids);

base::Result<DiskUsage> owner_disk_usage(Store& store);

}  // namespace cairn::cache
