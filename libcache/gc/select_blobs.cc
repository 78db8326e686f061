// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/select_blobs.h"

#include <unordered_set>

#include "libcache/blobs/blob_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

Result<std::vector<BlobInfo>> select_blobs(Store& store, const std::vector<RecordId>& gone) {
  const std::unordered_set<RecordId> gone_set(gone.begin(), gone.end());
  std::vector<BlobInfo> selected;
  const base::WallTime now = store.clock.now();
  const auto visit = [&](ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) -> Status {
    bool stays = store.blobs.is_claimed(digest) || TRY(is_leased(txn, digest, now));
    TRY(scan_rows(txn, table::blob_records, digest.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
      stays = stays || !gone_set.contains(std::get<1>(key));
      return stays ? Scan::stop : Scan::next;
    }));
    if (!stays) selected.push_back({digest, row.size, row.allocated_bytes});
    return {};
  };
  TRY(each_row(store.env, table::blobs, visit));
  return selected;
}

}  // namespace cairn::cache
