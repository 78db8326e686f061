// SPDX-License-Identifier: Apache-2.0
// Deletion. It looks at the store from the side to choose (selection.h), and decides in the writer's transaction, where
// holds and rows agree: a record goes only if nobody holds it, nothing is built on it, and, unless everything may go, no
// key leads to it. Rows go first, in small transactions; files after (I1).
#pragma once

#include <functional>
#include <set>
#include <stop_token>
#include <vector>

#include "libcache/account/totals.h"
#include "libcache/cache.h"
#include "libcache/gc/selection.h"

namespace cairn::cache {

base::Result<PruneReport> prune_store(Store& store, const PruneOptions& options, std::stop_token stop);

// The file system under the store, with what is being freed counted as free.
base::Result<DiskSpace> measure_disk(base::lmdb::Env& env, const base::HostPath& root);
base::Result<DiskSpace> measure_disk(Store& store);

// Selects and removes in rounds of a bounded number of records, until the rules find no more: what a round took is not live
// any more when it ends. rules.picks_max says how many a round chooses at first. round_done is told what a round removed.
using RoundDone = std::function<void(std::vector<PrunedRecord> removed)>;
base::Status remove_in_rounds(Store& store, SelectionRules rules, std::stop_token stop, PruneReport& report,
                              const RoundDone& round_done);
inline constexpr std::size_t round_picks = 2048;

// Blobs that no record names any more; their files too. Nothing is looked at if there are none.
base::Status remove_unnamed_blobs(Store& store, std::stop_token stop, PruneReport& report);
base::Status remove_unused_pages(Store& store, std::stop_token stop);

// What the erasure of many records in one transaction leaves to be done once for all of them.
struct Erasure {
  std::vector<KeyDigest> dead_keys;    // without a result now; erase_dead_keys() goes on with them
  TotalMap totals;                     // what the sums lose
  std::set<RecordId> parents;          // that have lost a child, and may be candidates now
};
// Everything that rows say about the record, and the record; its snapshot goes to the trash.
base::Status erase_record(base::lmdb::WriteTxn& txn, const snapshot::Snapshotter& snapshots, const RecordInfo& info,
                          Erasure& erasure);
// Changes the sums, and gives parents that are left without a child their places as candidates.
base::Status finish_erasure(base::lmdb::WriteTxn& txn, const Erasure& erasure);

}  // namespace cairn::cache
