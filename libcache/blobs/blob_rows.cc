// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_rows.h"

#include <algorithm>
#include <vector>

#include "libcache/account/totals.h"
#include "libcache/blobs/blob_space.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/blobs/namespace_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Scan;

namespace {

enum class Take { in, out };

// A damaged row counts from nothing: what is in the pack counts more than how much it is, and fsck counts anew.
Result<PackRow> pack_row(const base::lmdb::ReadTxn& txn, PackId pack) {
  auto row = txn.get(table::packs, pack);
  if (row) return row->value_or(PackRow{});
  if (row.error().code == base::ErrorCode::corrupt) return PackRow{};
  return tl::unexpected(row.error());
}

std::uint64_t taken(std::uint64_t from, std::uint64_t bytes) { return from - std::min(from, bytes); }

Status count_entry(base::lmdb::WriteTxn& txn, std::uint64_t pack, std::uint64_t end, std::uint64_t bytes, Take take) {
  PackRow row = TRY(pack_row(txn, PackId(pack)));
  row.end = std::max(row.end, end);
  row.live = take == Take::in ? row.live + bytes : taken(row.live, bytes);
  return txn.put(table::packs, PackId(pack), row);
}

Status count_place(base::lmdb::WriteTxn& txn, const BlobRow& row, Take take) {
  if (row.place == BlobPlace::chunks) return {};  // each chunk has a place of its own
  if (row.place == BlobPlace::pack) {
    const std::uint64_t bytes = entry_bytes(row.size);
    return count_entry(txn, row.at.pack, row.at.offset + bytes, bytes, take);
  }
  PackRow files = TRY(pack_row(txn, PackId(0)));
  const auto bytes = static_cast<std::uint64_t>(row.allocated_bytes);
  files.live = take == Take::in ? files.live + bytes : taken(files.live, bytes);
  files.end = files.live;
  TRY(txn.put(table::packs, PackId(0), files));
  if (row.at.pack == 0) return {};
  const std::uint64_t checksums = entry_bytes(checksum_bytes(row.size));
  return count_entry(txn, row.at.pack, row.at.offset + checksums, checksums, take);
}

}  // namespace

std::uint64_t checksum_bytes(std::uint64_t size) { return (size + piece_bytes - 1) / piece_bytes * 4; }

Status put_blob(base::lmdb::WriteTxn& txn, const BlobDigest& blob, const BlobRow& row) {
  Totals change{.count = 1, .exclusive_bytes = row.allocated_bytes};
  const auto before = TRY(txn.get(table::blobs, blob));
  if (before == row) return {};
  if (before) {
    TRY(count_place(txn, *before, Take::out));
    change.count = 0;
    change.exclusive_bytes -= before->allocated_bytes;
  }
  TRY(count_place(txn, row, Take::in));
  TRY(txn.put(table::blobs, blob, row));
  if (change == Totals{}) return {};  // it has moved
  const std::vector<RecordId> records = TRY(records_that_reach(txn, blob, Reaching::all));
  if (before) TRY(count_blob(txn, records, before->allocated_bytes, Counting::take));
  TRY(count_blob(txn, records, row.allocated_bytes, Counting::add));
  return change_total(txn, line_total(line::blobs), change);
}

Result<std::optional<BlobRow>> erase_blob(base::lmdb::WriteTxn& txn, const BlobDigest& blob) {
  auto row = TRY(txn.get(table::blobs, blob));
  if (!row) return row;
  for (const RecordId record : TRY(records_that_name(txn, blob))) TRY(erase_record_blob(txn, record, blob));
  TRY(erase_chunks_of(txn, blob));
  TRY(count_place(txn, *row, Take::out));
  TRY(count_blob(txn, TRY(records_that_reach(txn, blob, Reaching::all)), row->allocated_bytes, Counting::take));
  TRY(erase_leases_of(txn, blob));
  TRY(erase_namespaces_of(txn, blob));
  TRY(txn.erase(table::blobs, blob));
  TRY(change_total(txn, line_total(line::blobs), {.count = -1, .exclusive_bytes = -row->allocated_bytes}));
  return row;
}

Status count_journal(base::lmdb::WriteTxn& txn, std::uint64_t pack, std::uint64_t end, std::uint64_t bytes) {
  PackRow row = TRY(pack_row(txn, PackId(pack)));
  row.end = std::max(row.end, end);
  row.live += bytes;
  row.journal += bytes;
  return txn.put(table::packs, PackId(pack), row);
}

Status forget_journal(base::lmdb::WriteTxn& txn, std::uint64_t first) {
  std::vector<std::pair<PackId, PackRow>> rows;
  TRY(scan_rows(txn, table::packs, {}, [&](const PackId& id, const PackRow& row) -> Result<Scan> {
    if (id.value() >= first) return Scan::stop;
    if (row.journal != 0) rows.emplace_back(id, row);
    return Scan::next;
  }));
  for (auto& [id, row] : rows) {
    row.live = taken(row.live, row.journal);
    row.journal = 0;
    TRY(txn.put(table::packs, id, row));
  }
  return {};
}

Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob) {
  SpaceChanges changes;
  TRY(put_record_blob(txn, record, blob, changes));
  return apply(txn, std::move(changes));
}

Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob, SpaceChanges& changes) {
  if (TRY(txn.get(table::record_blobs, {record, blob}))) return {};
  TRY(count_name(txn, record, blob, Counting::add, changes));
  TRY(txn.put(table::record_blobs, {record, blob}, Present{}));
  return txn.put(table::blob_records, {blob, record}, Present{});
}

Status erase_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob) {
  if (!TRY(txn.get(table::record_blobs, {record, blob}))) return {};
  TRY(txn.erase(table::record_blobs, {record, blob}));
  TRY(txn.erase(table::blob_records, {blob, record}));
  SpaceChanges changes;
  TRY(count_name(txn, record, blob, Counting::take, changes));
  return apply(txn, std::move(changes));
}

Result<std::vector<RecordId>> records_that_name(const base::lmdb::ReadTxn& txn, const BlobDigest& blob) {
  std::vector<RecordId> records;
  TRY(scan_rows(txn, table::blob_records, blob.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
    records.push_back(std::get<1>(key));
    return Scan::next;
  }));
  return records;
}

Status erase_blobs_of(base::lmdb::WriteTxn& txn, RecordId record) {
  std::vector<BlobDigest> named;
  TRY(scan_rows(txn, table::record_blobs, key_prefix(record), [&](const auto& row, const Present&) -> Result<Scan> {
    named.push_back(std::get<1>(row));
    return Scan::next;
  }));
  for (const BlobDigest& blob : named) TRY(erase_record_blob(txn, record, blob));
  return {};
}

Result<bool> blob_is_named(const base::lmdb::ReadTxn& txn, const BlobDigest& blob) {
  if (TRY(has_rows(txn, table::blob_records, blob.raw()))) return true;
  return is_chunk(txn, blob);
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::BlobRow>::encode(const cache::BlobRow& row) {
  return ByteWriter()
      .u8(row.place == cache::BlobPlace::chunks ? cache::chunked_row_version : cache::blob_row_version)
      .u64(row.size)
      .i64(row.allocated_bytes)
      .u8(static_cast<std::uint8_t>(row.place))
      .u64(row.at.pack)
      .u64(row.at.offset)
      .take();
}

Result<cache::BlobRow> Codec<cache::BlobRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t version = TRY(reader.u8());
  if (version == 0 || version > cache::chunked_row_version) return fail(ErrorCode::corrupt, "row of version {}", version);
  cache::BlobRow row;
  row.size = TRY(reader.u64());
  row.allocated_bytes = TRY(reader.i64());
  if (version != 1) {
    const std::uint8_t place = TRY(reader.u8());
    const bool chunks = place == static_cast<std::uint8_t>(cache::BlobPlace::chunks);
    if (place > static_cast<std::uint8_t>(cache::BlobPlace::chunks) || chunks != (version == cache::chunked_row_version))
      return fail(ErrorCode::corrupt, "place {} in a row of version {}", place, version);
    row.place = static_cast<cache::BlobPlace>(place);
    row.at.pack = TRY(reader.u64());
    row.at.offset = TRY(reader.u64());
  }
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::PackRow>::encode(const cache::PackRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.end).u64(row.live).u64(row.punched).u64(row.journal).take();
}

Result<cache::PackRow> Codec<cache::PackRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::PackRow row;
  row.end = TRY(reader.u64());
  row.live = TRY(reader.u64());
  row.punched = TRY(reader.u64());
  row.journal = TRY(reader.u64());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
