// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/lease_rows.h"

#include <vector>

#include "libcache/blobs/blob_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::TableSpec;
using base::lmdb::WriteTxn;

namespace {

template <class Thing>
using ByThing = TableSpec<std::tuple<Thing, LeaseId>, Present>;
template <class Thing>
using ByLease = TableSpec<std::tuple<LeaseId, Thing>, Present>;

// At most `max` second parts of the rows whose first part is `first`.
template <class First, class Second>
Result<std::vector<Second>> seconds(const ReadTxn& txn, const TableSpec<std::tuple<First, Second>, Present>& table,
                                    const First& first, std::size_t max = SIZE_MAX) {
  std::vector<Second> found;
  TRY(scan_rows(txn, table, key_prefix(first), [&](const auto& key, const Present&) -> Result<Scan> {
    if (found.size() == max) return Scan::stop;
    found.push_back(std::get<1>(key));
    return Scan::next;
  }));
  return found;
}

template <class Thing>
Result<bool> is_named(const ReadTxn& txn, const ByThing<Thing>& table, const Thing& thing, base::WallTime now) {
  for (const LeaseId id : TRY(seconds(txn, table, thing))) {
    const auto lease = TRY(txn.get(table::leases, id));
    if (lease && !lease->is_over(now)) return true;
  }
  return false;
}

template <class Thing>
Status erase_names(WriteTxn& txn, const ByThing<Thing>& by_thing, const ByLease<Thing>& by_lease, const Thing& thing) {
  for (const LeaseId id : TRY(seconds(txn, by_thing, thing))) {
    TRY(txn.erase(by_thing, {thing, id}));
    TRY(txn.erase(by_lease, {id, thing}));
  }
  return {};
}

// Returns how many were erased.
template <class Thing>
Result<std::size_t> erase_some(WriteTxn& txn, const ByThing<Thing>& by_thing, const ByLease<Thing>& by_lease, LeaseId id,
                               std::size_t max) {
  const auto things = TRY(seconds(txn, by_lease, id, max));
  for (const Thing& thing : things) {
    TRY(txn.erase(by_thing, {thing, id}));
    TRY(txn.erase(by_lease, {id, thing}));
  }
  return things.size();
}

LeaseEnd end_of(base::WallTime expires) { return {base::to_unix_ns(expires)}; }

}  // namespace

Result<bool> is_leased(const ReadTxn& txn, RecordId record, base::WallTime now) {
  return is_named(txn, table::record_leases, record, now);
}

Result<bool> is_leased(const ReadTxn& txn, const BlobDigest& blob, base::WallTime now) {
  return is_named(txn, table::blob_leases, blob, now);
}

Status erase_leases_of(WriteTxn& txn, RecordId record) {
  return erase_names(txn, table::record_leases, table::lease_records, record);
}

Status erase_leases_of(WriteTxn& txn, const BlobDigest& blob) {
  return erase_names(txn, table::blob_leases, table::lease_blobs, blob);
}

Status put_lease(WriteTxn& txn, LeaseId id, const LeaseRow& row) {
  const auto old = TRY(txn.get(table::leases, id));
  if (old && old->expires) TRY(txn.erase(table::lease_ends, {end_of(*old->expires), id}));
  if (row.expires) TRY(txn.put(table::lease_ends, {end_of(*row.expires), id}, Present{}));
  return txn.put(table::leases, id, row);
}

Status put_lease_record(WriteTxn& txn, LeaseId id, RecordId record) {
  if (!TRY(txn.get_raw(table::records, base::Codec<RecordId>::encode(record))))
    return base::fail(ErrorCode::not_found, "lease record {}: there is none", record);
  TRY(txn.put(table::lease_records, {id, record}, Present{}));
  return txn.put(table::record_leases, {record, id}, Present{});
}

Status put_lease_blob(WriteTxn& txn, LeaseId id, const BlobDigest& blob) {
  if (!TRY(txn.get_raw(table::blobs, blob.raw())))
    return base::fail(ErrorCode::not_found, "lease blob {}: there is none", blob);
  TRY(txn.put(table::lease_blobs, {id, blob}, Present{}));
  return txn.put(table::blob_leases, {blob, id}, Present{});
}

Result<Erased> erase_lease(WriteTxn& txn, LeaseId id, std::size_t rows_max) {
  std::size_t left = rows_max;
  left -= TRY(erase_some(txn, table::record_leases, table::lease_records, id, left));
  left -= TRY(erase_some(txn, table::blob_leases, table::lease_blobs, id, left));
  if (left == 0) return Erased::part;  // or just all of it: the next call finds out
  const auto row = TRY(txn.get(table::leases, id));
  if (row && row->expires) TRY(txn.erase(table::lease_ends, {end_of(*row->expires), id}));
  TRY(txn.erase(table::leases, id));
  return Erased::all;
}

Result<std::optional<LeaseId>> find_expired(const ReadTxn& txn, base::WallTime now) {
  std::optional<LeaseId> first;
  TRY(scan_rows(txn, table::lease_ends, {}, [&](const auto& key, const Present&) -> Result<Scan> {
    const auto& [end, id] = key;
    if (end <= end_of(now)) first = id;
    return Scan::stop;
  }));
  return first;
}

namespace {

Result<std::vector<LeaseInfo>> read_leases(ReadTxn& txn, LeaseId after, std::size_t max) {
  std::vector<LeaseInfo> leases;
  const std::string from = base::Codec<LeaseId>::encode(LeaseId(after.value() + 1));
  TRY(txn.scan_raw(table::leases, {}, from, [&](std::string_view key, std::string_view value) -> Result<Scan> {
    const LeaseId id = TRY(base::Codec<LeaseId>::decode(key), "{} key", table::leases.name);
    const LeaseRow row = TRY(base::Codec<LeaseRow>::decode(value), "lease {}", id);
    leases.push_back({id, row.owner, row.created, row.expires, {}, {}});
    return leases.size() < max ? Scan::next : Scan::stop;
  }));
  for (LeaseInfo& lease : leases) {
    lease.records = TRY(seconds(txn, table::lease_records, lease.id));
    lease.blobs = TRY(seconds(txn, table::lease_blobs, lease.id));
  }
  return leases;
}

}  // namespace

Result<std::vector<LeaseInfo>> list_leases(base::lmdb::Env& env, base::WallTime now) {
  constexpr std::size_t leases_per_view = 1000;
  std::vector<LeaseInfo> all;
  LeaseId last;
  for (bool more = true; more;) {
    auto piece = TRY(env.view([&](ReadTxn& txn) { return read_leases(txn, last, leases_per_view); }), "list leases");
    more = piece.size() == leases_per_view;
    if (!piece.empty()) last = piece.back().id;
    for (LeaseInfo& lease : piece)
      if (!lease.expires || *lease.expires > now) all.push_back(std::move(lease));
  }
  return all;
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::LeaseRow>::encode(const cache::LeaseRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).i64(to_unix_ns(row.created)).u8(row.expires ? 1 : 0);
  if (row.expires) writer.i64(to_unix_ns(*row.expires));
  return writer.string(row.owner).take();
}

Result<cache::LeaseRow> Codec<cache::LeaseRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::LeaseRow row;
  row.created = from_unix_ns(TRY(reader.i64()));
  const std::uint8_t expires = TRY(reader.u8());
  if (expires > 1) return fail(ErrorCode::corrupt, "expiry flag {}", expires);
  if (expires == 1) row.expires = from_unix_ns(TRY(reader.i64()));
  row.owner = std::string(TRY(reader.string()));
  TRY(reader.expect_end());
  return row;
}

// The sign bit is flipped, so that bytes sort as the numbers do.
std::string Codec<cache::LeaseEnd>::encode(const cache::LeaseEnd& end) {
  return ByteWriter().u64_key(static_cast<std::uint64_t>(end.unix_ns) ^ (1ull << 63)).take();
}

Result<cache::LeaseEnd> Codec<cache::LeaseEnd>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint64_t flipped = TRY(reader.u64_key());
  TRY(reader.expect_end());
  return cache::LeaseEnd{static_cast<std::int64_t>(flipped ^ (1ull << 63))};
}

}  // namespace cairn::base
