// SPDX-License-Identifier: Apache-2.0
// Everything that one change of the group writer adds, owned: what a Publication becomes when it is queued.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "libbase/lmdb/group_writer.h"
#include "libcache/blobs/blob_claims.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/history/ledger.h"
#include "libcache/key_store.h"
#include "libcache/layer_blob.h"
#include "libcache/pages/pending_pages.h"
#include "libcache/recipe.h"
#include "libcache/record.h"
#include "libcache/records/record_rows.h"
#include "libcache/ref.h"

namespace cairn::cache {

struct Store;

struct Batch {
  struct Result {
    KeyDigest key;
    RecordId record;  // 0: scratch
    base::WallTime created{};
  };
  struct Digest {
    RecordId record;
    SelectionsDigest selections;
    TreeDigest digest;
  };
  std::uint64_t number = 0;  // names the batch in Pending
  std::vector<RecordInfo> records;
  std::vector<Result> results;
  std::vector<std::pair<KeyLink, KeyDigest>> links;
  std::vector<std::pair<RecordId, BlobDigest>> blobs;
  std::vector<Digest> digests;
  std::vector<std::pair<RecordId, LayerBlob>> layers;
  std::vector<BatchEntry> entries;
  base::lmdb::GroupWriter::Change names;  // of its records, written after them; may be empty
  std::shared_ptr<std::deque<BlobClaims::Claim>> claims;  // on blobs of entries, until the outcome is known
  std::vector<PendingPages::SetPtr> pages;
  std::vector<std::shared_ptr<const Reopened>> reopened;  // records whose place is taken
  std::optional<ExecutedStep> step;  // made the results from here on; only if there is a ledger
  std::size_t results_of_step = 0;
  std::shared_ptr<const Recipe> recipe;  // of those results
  std::uint64_t recipes_max = 0;
  std::vector<Repeated> repeated;    // found by the change
  std::vector<ImmutableRef> holds;  // on every record named above, until the outcome is known
};

// Writes the rows. Runs in the writer's transaction, maybe twice.
base::Status write_rows(base::lmdb::WriteTxn& txn, const snapshot::Snapshotter& snapshots, const Batch& batch);

// Queues the batch; its keys, chains and digests are found by others when this returns.
base::Result<base::lmdb::SequenceNumber> enqueue_batch(Store& store, Batch batch);
// What was found out about the record's tree. Rides along with whatever group comes next, or with the publication of its record;
// nobody waits for it. Losing it costs a second look at the tree.
void keep_digests(Store& store, const ImmutableRef& ref, std::optional<Batch::Digest> digest, std::vector<PendingPages::SetPtr> pages);
// Returns when all that was queued before has its outcome, its `done` included, so that it holds nothing any more. Writes
// nothing. Errors: those of the writer; who waits only for outcomes need not look at them.
base::Status await_outcomes(Store& store);
// Queues the use times noted so far, if there are any. Nobody waits for them.
void enqueue_use_times(Store& store);

}  // namespace cairn::cache
