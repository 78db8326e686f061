// SPDX-License-Identifier: Apache-2.0
// The tables of leases. What a lease names has a row in both directions, so that "what does it keep" and "is this kept"
// are prefix scans. A lease that has expired keeps nothing, from the moment it expires; its rows are swept later, in
// small pieces.
#pragma once

#include <optional>
#include <string>
#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/lease.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

struct LeaseRow {
  std::string owner;
  base::WallTime created{};
  std::optional<base::WallTime> expires;

  bool is_over(base::WallTime now) const { return expires && *expires <= now; }
};

// A moment as a part of a key: later ones sort behind earlier ones, those before 1970 first.
struct LeaseEnd {
  std::int64_t unix_ns = 0;
  auto operator<=>(const LeaseEnd&) const = default;
};
template <>
struct KeyPart<LeaseEnd> {
  static constexpr std::size_t size = 8;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::LeaseRow> {
  static std::string encode(const cache::LeaseRow& row);
  static Result<cache::LeaseRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::LeaseEnd> {
  static std::string encode(const cache::LeaseEnd& end);
  static Result<cache::LeaseEnd> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<LeaseId, LeaseRow> leases{{"cache.leases", Precious::persistent}};
inline constexpr TableSpec<std::tuple<LeaseId, RecordId>, Present> lease_records{{"cache.lease_records", Precious::persistent}};
inline constexpr TableSpec<std::tuple<RecordId, LeaseId>, Present> record_leases{{"cache.record_leases", Precious::persistent}};
inline constexpr TableSpec<std::tuple<LeaseId, BlobDigest>, Present> lease_blobs{{"cache.lease_blobs", Precious::persistent}};
inline constexpr TableSpec<std::tuple<BlobDigest, LeaseId>, Present> blob_leases{{"cache.blob_leases", Precious::persistent}};
// Those that expire, by when.
inline constexpr TableSpec<std::tuple<LeaseEnd, LeaseId>, Present> lease_ends{{"cache.lease_ends", Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// For the collector, in the transaction that erases: whether a lease that is not over names it. O(leases on it).
base::Result<bool> is_leased(const base::lmdb::ReadTxn& txn, RecordId record, base::WallTime now);
base::Result<bool> is_leased(const base::lmdb::ReadTxn& txn, const BlobDigest& blob, base::WallTime now);
// With the row of the record or blob: what leases that are over still say of it.
base::Status erase_leases_of(base::lmdb::WriteTxn& txn, RecordId record);
base::Status erase_leases_of(base::lmdb::WriteTxn& txn, const BlobDigest& blob);

base::Status put_lease(base::lmdb::WriteTxn& txn, LeaseId id, const LeaseRow& row);
// Naming twice is success. Errors: not_found (no such record or blob).
base::Status put_lease_record(base::lmdb::WriteTxn& txn, LeaseId id, RecordId record);
base::Status put_lease_blob(base::lmdb::WriteTxn& txn, LeaseId id, const BlobDigest& blob);

enum class Erased { all, part };
// Erases at most rows_max of what the lease names, and at last its row.
base::Result<Erased> erase_lease(base::lmdb::WriteTxn& txn, LeaseId id, std::size_t rows_max);
// The lease that expired first, if one is over.
base::Result<std::optional<LeaseId>> find_expired(const base::lmdb::ReadTxn& txn, base::WallTime now);

}  // namespace cairn::cache
