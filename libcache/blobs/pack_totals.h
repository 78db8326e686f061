// SPDX-License-Identifier: Apache-2.0
// The space that blobs take, as their rows say (I9): lines of du.
#pragma once

#include <cstdint>

#include "libbase/lmdb/env.h"

namespace cairn::cache {

struct BlobTotals {
  std::int64_t file_bytes = 0;              // allocated by blobs that are files
  std::uint64_t packs = 0;
  std::int64_t pack_bytes = 0;              // allocated by packs: the three below, and what rounding makes of it
  std::int64_t pack_live_bytes = 0;         // of it, entries of blobs
  std::int64_t pack_journal_bytes = 0;      // of it, entries of the journal that the next checkpoint makes needless
  std::int64_t pack_reclaimable_bytes = 0;  // of it, what a compaction gives back
};

// O(packs).
base::Result<BlobTotals> blob_totals(const base::lmdb::ReadTxn& txn);

}  // namespace cairn::cache
