// SPDX-License-Identifier: Apache-2.0
// Which paths of two trees differ, of those that are selected: from the pages of the two records, or from those that were kept
// when a record went.
#pragma once

#include <optional>
#include <vector>

#include "libcache/explain.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {

struct TreeSide {
  RecordId record;
  DigestRules rules = DigestRules::scan;
};
struct PathDifferences {
  std::vector<TreeDifference> paths;  // explained_paths_max of them at most
  std::uint64_t total = 0;
};
// selections: none means the whole tree. nullopt: pages are missing. Errors: io, corrupt, and those of a selection.
base::Result<std::optional<PathDifferences>> differing_paths(const base::lmdb::ReadTxn& txn, const TreeSide& before, const TreeSide& after,
                                                             std::vector<Selection> selections, ExplainCounts& counts);

}  // namespace cairn::cache
