// SPDX-License-Identifier: Apache-2.0
// For whoever mends a store: directories below trees/ that nothing names. Opening looks only at the ids that a dead owner
// had reserved, so one that somebody has put there, or that came back with an old disk, stays until it is looked for.
#pragma once

#include "libbase/lmdb/env.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// The directory of this id becomes trash that frees `usage`, and goes with the next erasure of it. Nothing if it is trash
// already, or has a row by now. The caller knows that no live snapshot has the id. Errors: corrupt, no_space, io.
base::Status discard_stray(base::lmdb::WriteTxn& txn, SnapshotId stray, const Usage& usage);

// The id that a name below trees/ stands for; nullopt: it is no tree's.
std::optional<SnapshotId> parse_tree_name(std::string_view name);

}  // namespace cairn::snapshot
