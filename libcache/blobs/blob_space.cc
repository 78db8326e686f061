// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_space.h"

#include <algorithm>
#include <limits>

#include "libcache/blobs/chunk_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t no_limit = std::numeric_limits<std::size_t>::max();

bool contains(const std::vector<RecordId>& records, RecordId wanted) {
  return std::find(records.begin(), records.end(), wanted) != records.end();
}

// Adds the records that name the blob, but for `except`, until there are `limit`.
Status add_namers(const ReadTxn& txn, const BlobDigest& blob, RecordId except, std::size_t limit,
                  std::vector<RecordId>& records) {
  if (records.size() >= limit) return {};
  return scan_rows(txn, table::blob_records, blob.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
    const RecordId record = std::get<1>(key);
    if (record != except && (limit == no_limit || !contains(records, record))) records.push_back(record);
    return records.size() >= limit ? Scan::stop : Scan::next;
  });
}

// Of a blob and all the blobs that it is a chunk of.
Status add_reaching(const ReadTxn& txn, const BlobDigest& blob, RecordId except, std::size_t limit,
                    std::vector<RecordId>& records) {
  TRY(add_namers(txn, blob, except, limit, records));
  if (records.size() >= limit) return {};
  return scan_rows(txn, table::chunk_blobs, blob.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
    TRY(add_namers(txn, std::get<1>(key), except, limit, records));
    return records.size() >= limit ? Scan::stop : Scan::next;
  });
}

// What one record's name changes for a blob and its chunks.
class NameChange {
 public:
  NameChange(const ReadTxn& txn, RecordId record, Counting way, SpaceChanges& changes)
      : txn_(txn), record_(record), sign_(way == Counting::add ? 1 : -1), changes_(changes) {}

  // Blobs that the record names and that are in chunks, without `blob`: ways on which it reaches a chunk anyway.
  Status load_other_ways(const BlobDigest& blob) {
    return scan_rows(txn_, table::record_blobs, key_prefix(record_), [&](const auto& key, const Present&) -> Result<Scan> {
      const BlobDigest& named = std::get<1>(key);
      if (named == blob) return Scan::next;
      const auto row = TRY(txn_.get(table::blobs, named));
      if (row && row->place == BlobPlace::chunks) others_.push_back(named);
      return Scan::next;
    });
  }

  Status count(const BlobDigest& blob) {
    const auto row = TRY(txn_.get(table::blobs, blob));
    if (!row || TRY(reaches_anyway(blob))) return {};
    const std::int64_t bytes = sign_ * row->allocated_bytes;
    std::vector<RecordId> with;  // two are enough to know
    TRY(add_reaching(txn_, blob, record_, 2, with));
    if (with.empty()) {
      changes_.totals[line_total(line::blobs_unnamed)] += {.count = -sign_, .exclusive_bytes = -bytes};
      changes_.spaces[record_].blob_exclusive_bytes += bytes;
      return {};
    }
    changes_.spaces[record_].blob_shared_bytes += bytes;
    if (with.size() > 1) return {};
    changes_.totals[line_total(line::blobs_shared)] += {.count = sign_, .exclusive_bytes = bytes};
    changes_.spaces[with.front()].blob_exclusive_bytes -= bytes;
    changes_.spaces[with.front()].blob_shared_bytes += bytes;
    return {};
  }

 private:
  Result<bool> reaches_anyway(const BlobDigest& blob) {
    if (TRY(txn_.get(table::record_blobs, {record_, blob}))) return true;
    for (const BlobDigest& other : others_)
      if (TRY(txn_.get(table::chunk_blobs, {blob, other}))) return true;
    return false;
  }

  const ReadTxn& txn_;
  RecordId record_;
  std::int64_t sign_;
  SpaceChanges& changes_;
  std::vector<BlobDigest> others_;
};

}  // namespace

Result<std::vector<RecordId>> records_that_reach(const ReadTxn& txn, const BlobDigest& blob, Reaching wanted) {
  std::vector<RecordId> records;
  if (wanted == Reaching::two) {
    TRY(add_reaching(txn, blob, RecordId(), 2, records));
    return records;
  }
  TRY(add_reaching(txn, blob, RecordId(), no_limit, records));
  std::sort(records.begin(), records.end());
  records.erase(std::unique(records.begin(), records.end()), records.end());
  return records;
}

Status count_blob(WriteTxn& txn, const std::vector<RecordId>& records, std::int64_t bytes, Counting way) {
  const std::int64_t sign = way == Counting::add ? 1 : -1;
  RecordSpace space;
  (records.size() == 1 ? space.blob_exclusive_bytes : space.blob_shared_bytes) = sign * bytes;
  for (const RecordId record : records) TRY(change_space(txn, record, space));
  const Totals change{.count = sign, .exclusive_bytes = sign * bytes};
  if (records.empty()) return change_total(txn, line_total(line::blobs_unnamed), change);
  if (records.size() > 1) return change_total(txn, line_total(line::blobs_shared), change);
  return {};
}

Status count_name(ReadTxn& txn, RecordId record, const BlobDigest& blob, Counting way, SpaceChanges& changes) {
  NameChange change(txn, record, way, changes);
  const std::vector<BlobDigest> chunks = TRY(chunks_of(txn, blob));
  TRY(change.load_other_ways(blob));
  TRY(change.count(blob));
  for (const BlobDigest& chunk : chunks) TRY(change.count(chunk));
  return {};
}

}  // namespace cairn::cache
