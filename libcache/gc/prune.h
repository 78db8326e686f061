// SPDX-License-Identifier: Apache-2.0
// The collector. It looks at the store from the side to choose (select.h), and decides in the writer's transaction, where
// holds and rows agree: a record goes only if nobody holds it, nothing is built on it, and, unless everything may go, no
// key leads to it. Rows go first, in small transactions; files after (I1).
#pragma once

#include <stop_token>
#include <vector>

#include "libcache/cache.h"

namespace cairn::cache {

base::Result<PruneReport> prune_store(Store& store, const PruneOptions& options, std::stop_token stop);

// Everything that rows say about the record, and the record; erase_record: its snapshot goes to the trash, too. Keys that this leaves
// without a result are appended to dead_keys.
base::Status erase_rows_of(base::lmdb::WriteTxn& txn, const RecordInfo& info, std::vector<KeyDigest>& dead_keys);
base::Status erase_record(base::lmdb::WriteTxn& txn, const snapshot::Snapshotter& snapshots, const RecordInfo& info,
                          std::vector<KeyDigest>& dead_keys);

}  // namespace cairn::cache
