// SPDX-License-Identifier: Apache-2.0
// I4: what a lease keeps is said in both directions, exists, and so does the lease; and when it ends is filed by time.
#include "libcache/account/check.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::TableSpec;

namespace {

using LeaseMap = std::unordered_map<LeaseId, LeaseRow>;

// exists(txn, thing) -> Result<bool>.
template <class Thing, class Exists>
Status check_named(CheckState& state, const LeaseMap& leases, const TableSpec<std::tuple<LeaseId, Thing>, Present>& by_lease,
                   const TableSpec<std::tuple<Thing, LeaseId>, Present>& by_thing, const char* noun, Exists exists) {
  TRY(each_row(state.env, by_lease, [&](ReadTxn& txn, const std::tuple<LeaseId, Thing>& key, const Present&) -> Status {
    const auto& [lease, thing] = key;
    if (!leases.contains(lease)) state.found(4, "lease {}: it names {} {} and does not exist", lease, noun, thing);
    const bool there = TRY(exists(txn, thing));
    if (!there) state.found(4, "lease {}: {} {} does not exist", lease, noun, thing);
    const bool known = TRY(has_row(txn, by_thing, {thing, lease}));
    if (!known) state.found(4, "{} {}: it does not know that lease {} names it", noun, thing, lease);
    return {};
  }));
  return each_row(state.env, by_thing, [&](ReadTxn& txn, const std::tuple<Thing, LeaseId>& key, const Present&) -> Status {
    const auto& [thing, lease] = key;
    const bool known = TRY(has_row(txn, by_lease, {lease, thing}));
    if (!known) state.found(4, "{} {}: lease {} does not name it", noun, thing, lease);
    return {};
  });
}

Status check_ends(CheckState& state, const LeaseMap& leases) {
  return each_row(state.env, table::lease_ends, [&](ReadTxn&, const std::tuple<LeaseEnd, LeaseId>& key, const Present&) {
    const auto& [end, lease] = key;
    const auto row = leases.find(lease);
    if (row == leases.end() || !row->second.expires || base::to_unix_ns(*row->second.expires) != end.unix_ns)
      state.found(4, "lease {}: it is filed under an end that it does not have", lease);
    return Status();
  });
}

}  // namespace

Status check_leases(CheckState& state) {
  LeaseMap leases;
  TRY(each_row(state.env, table::leases, [&](ReadTxn& txn, const LeaseId& id, const LeaseRow& row) -> Status {
    leases.emplace(id, row);
    if (!row.expires) return {};
    const bool filed = TRY(has_row(txn, table::lease_ends, {LeaseEnd{base::to_unix_ns(*row.expires)}, id}));
    if (!filed) state.found(4, "lease {}: it is not filed under its end", id);
    return {};
  }));
  TRY(check_ends(state, leases));
  TRY(check_named(state, leases, table::lease_records, table::record_leases, "record",
                  [&](const ReadTxn&, RecordId id) -> Result<bool> { return state.records.contains(id); }));
  return check_named(state, leases, table::lease_blobs, table::blob_leases, "blob",
                     [](const ReadTxn& txn, const BlobDigest& blob) { return has_row(txn, table::blobs, blob); });
}

}  // namespace cairn::cache
