// SPDX-License-Identifier: Apache-2.0
// The sums of cache.totals taken anew from the rows: for check(), and for a store that has none yet.
#include <set>

#include "libcache/account/totals.h"
#include "libcache/blobs/blob_space.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t rows_per_update = 10'000;

Status add_up_blobs(Env& env, TotalMap& totals) {
  return each_row(env, table::blobs, [&](ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) -> Status {
    const Totals one{.count = 1, .exclusive_bytes = row.allocated_bytes};
    totals[line_total(line::blobs)] += one;
    const std::size_t namers = TRY(records_that_reach(txn, digest, Reaching::two)).size();
    if (namers == 0) totals[line_total(line::blobs_unnamed)] += one;
    if (namers > 1) totals[line_total(line::blobs_shared)] += one;
    return {};
  });
}

// Rows of an older version do not say it.
Status write_spaces(Env& env) {
  std::string from;
  for (bool more = true; more;) {
    TRY(env.update([&, begin = from](WriteTxn& txn) -> Status {
      std::vector<std::pair<RecordId, RecordRow>> rows;
      from.clear();
      TRY(txn.scan_raw(table::records, {}, begin, [&](std::string_view key, std::string_view value) -> Result<Scan> {
        if (rows.size() == rows_per_update) {
          from.assign(key);
          return Scan::stop;
        }
        const RecordId id = TRY(base::Codec<RecordId>::decode(key), "{} key", table::records.name);
        rows.emplace_back(id, TRY(base::Codec<RecordRow>::decode(value), "record {}", id));
        return Scan::next;
      }));
      for (auto& [id, row] : rows) {
        row.space = TRY(add_up_space(txn, id, row.snapshot));
        TRY(txn.put(table::records, id, row));
      }
      return {};
    }));
    more = !from.empty();
  }
  return {};
}

}  // namespace

Result<RecordSpace> add_up_space(ReadTxn& txn, RecordId id, snapshot::SnapshotId tree) {
  RecordSpace space;
  if (const auto about = TRY(snapshot::find_snapshot(txn, tree))) set_tree_space(space, *about);
  std::set<BlobDigest> reached;
  TRY(scan_rows(txn, table::record_blobs, key_prefix(id), [&](const auto& key, const Present&) -> Result<Scan> {
    reached.insert(std::get<1>(key));
    for (const BlobDigest& chunk : TRY(chunks_of(txn, std::get<1>(key)))) reached.insert(chunk);
    return Scan::next;
  }));
  for (const BlobDigest& blob : reached) {
    const auto row = TRY(txn.get(table::blobs, blob));
    if (!row) continue;  // check_blobs reports it
    const std::size_t namers = TRY(records_that_reach(txn, blob, Reaching::two)).size();
    (namers == 1 ? space.blob_exclusive_bytes : space.blob_shared_bytes) += row->allocated_bytes;
  }
  return space;
}

Result<bool> lacks_totals(const ReadTxn& txn) {
  if (TRY(txn.count(table::totals)) > 0) return false;
  return TRY(txn.count(table::records)) > 0 || TRY(txn.count(table::blobs)) > 0;
}

Result<TotalMap> add_up(Env& env) {
  TotalMap totals;
  totals[line_total(line::records)];
  TRY(each_row(env, table::records, [&](ReadTxn&, const RecordId&, const RecordRow& row) -> Status {
    count_record(totals, row);
    return {};
  }));
  TRY(add_up_blobs(env, totals));
  return totals;
}

Result<TotalMap> stored_totals(Env& env) {
  TotalMap totals;
  TRY(each_row(env, table::totals, [&](ReadTxn&, const TotalKey& key, const Totals& row) -> Status {
    totals.emplace(key, row);
    return {};
  }));
  return totals;
}

Status make_totals(Env& env) {
  const bool lacking = TRY(env.view([](ReadTxn& txn) { return lacks_totals(txn); }));
  if (!lacking) return {};
  TRY(write_spaces(env), "count what records take");
  const TotalMap totals = TRY(add_up(env), "count what records take");
  TRY(env.update([&](WriteTxn& txn) -> Status {
    for (const auto& [key, row] : totals) TRY(txn.put(table::totals, key, row));
    return {};
  }));
  return {};
}

}  // namespace cairn::cache
