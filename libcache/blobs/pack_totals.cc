// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/pack_totals.h"

#include "libcache/blobs/blob_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::lmdb::Scan;

namespace {

constexpr std::uint64_t block = 4096;

}  // namespace

Result<BlobTotals> blob_totals(const base::lmdb::ReadTxn& txn) {
  BlobTotals totals;
  TRY(scan_rows(txn, table::packs, {}, [&](const PackId& id, const PackRow& row) -> Result<Scan> {
    if (id == PackId(0)) {
      totals.file_bytes = static_cast<std::int64_t>(row.live);
      return Scan::next;
    }
    ++totals.packs;
    totals.pack_bytes += static_cast<std::int64_t>((row.end + block - 1) / block * block - row.punched);
    totals.pack_live_bytes += static_cast<std::int64_t>(row.live - row.journal);
    totals.pack_journal_bytes += static_cast<std::int64_t>(row.journal);
    totals.pack_reclaimable_bytes += static_cast<std::int64_t>(row.end - row.live - row.punched);
    return Scan::next;
  }));
  return totals;
}

}  // namespace cairn::cache
