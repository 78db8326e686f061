// SPDX-License-Identifier: Apache-2.0
// The tables about blobs: that they exist, and which records name them.
#pragma once

#include <tuple>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/account/totals.h"
#include "libcache/blob_store.h"
#include "libcache/blobs/packs.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

inline constexpr std::uint8_t blob_row_version = 2;
inline constexpr std::uint8_t chunked_row_version = 3;  // of a blob in chunks: a build that knows none refuses the row

// A blob that is a file has a CRC-32C of each piece of it in a pack.
inline constexpr std::uint64_t piece_bytes = 64 * 1024;
std::uint64_t checksum_bytes(std::uint64_t size);

enum class BlobPlace : std::uint8_t { file = 0, pack = 1, chunks = 2 };

struct BlobRow {
  std::uint64_t size = 0;
  std::int64_t allocated_bytes = 0;  // a file's blocks, or the entry's bytes in its pack; its chunks have their own
  BlobPlace place = BlobPlace::file;
  PackLocation at;  // of the entry; for a file, of the checksums of its pieces (nowhere: it has none)
  bool operator==(const BlobRow&) const = default;
};

// The space of one pack; of pack 0, of all blobs that are files.
struct PackRow {
  std::uint64_t end = 0;
  std::uint64_t live = 0;
  std::uint64_t punched = 0;
  std::uint64_t journal = 0;  // of what lives, that which the next checkpoint makes needless
};
using PackId = base::Id<struct PackMeaning>;

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::BlobRow> {
  static std::string encode(const cache::BlobRow& row);
  static Result<cache::BlobRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::PackRow> {
  static std::string encode(const cache::PackRow& row);
  static Result<cache::PackRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<BlobDigest, BlobRow> blobs{{"cache.blobs", Precious::persistent}};
inline constexpr TableSpec<PackId, PackRow> packs{{"cache.packs", Precious::rebuildable}};
inline constexpr TableSpec<std::tuple<RecordId, BlobDigest>, Present> record_blobs{
    {"cache.record_blobs", Precious::persistent}};
inline constexpr TableSpec<std::tuple<BlobDigest, RecordId>, Present> blob_records{
    {"cache.blob_records", Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// A blob's row together with the space it takes (I9), in its pack, in cache.totals and in the space of the records that
// name it: these functions write it, and nothing else does. put_blob() of a blob that has a row moves it: the old place is
// dead. erase_blob() gives the row that went, and takes the names that records have of it; nullopt: there was none.
base::Status put_blob(base::lmdb::WriteTxn& txn, const BlobDigest& blob, const BlobRow& row);
base::Result<std::optional<BlobRow>> erase_blob(base::lmdb::WriteTxn& txn, const BlobDigest& blob);

// The same for entries of the journal, and, when a checkpoint has made those of packs before `first` needless, for these.
base::Status count_journal(base::lmdb::WriteTxn& txn, std::uint64_t pack, std::uint64_t end, std::uint64_t bytes);
base::Status forget_journal(base::lmdb::WriteTxn& txn, std::uint64_t first);

// Naming twice is success. Both exist.
base::Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob);
// The same, also of a record whose row is written later in the transaction, with what it changes of rows of records and
// of sums added up in `changes`.
base::Status put_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob, SpaceChanges& changes);
base::Status erase_record_blob(base::lmdb::WriteTxn& txn, RecordId record, const BlobDigest& blob);
base::Status erase_blobs_of(base::lmdb::WriteTxn& txn, RecordId record);
base::Result<std::vector<RecordId>> records_that_name(const base::lmdb::ReadTxn& txn, const BlobDigest& blob);
// By a record, or by a blob that it is a chunk of.
base::Result<bool> blob_is_named(const base::lmdb::ReadTxn& txn, const BlobDigest& blob);

}  // namespace cairn::cache
