// SPDX-License-Identifier: Apache-2.0
// Leases as changes of the writer. A lease decides nothing before its rows are there, so whatever it names is held until
// then: records by refs, blobs by the claim of their put or by a record.
#include <memory>

#include "libbase/crash_point.h"
#include "libcache/cache.h"
#include "libcache/names/tree_name_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::SequenceNumber;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t rows_per_change = 1024;

struct Named {
  std::vector<ImmutableRef> records;  // held until the outcome is known
  std::vector<BlobDigest> blobs;
};

Status write_named(WriteTxn& txn, LeaseId id, const Named& named) {
  for (const ImmutableRef& ref : named.records) TRY(put_lease_record(txn, id, ref.id()));
  for (const BlobDigest& blob : named.blobs) TRY(put_lease_blob(txn, id, blob));
  CRASH_POINT("cache.lease.names_written");
  return {};
}

Result<LeaseRow> living_lease(const ReadTxn& txn, LeaseId id, base::WallTime now) {
  const auto row = TRY(txn.get(table::leases, id));
  if (!row || row->is_over(now)) return base::fail(ErrorCode::not_found, "lease {}: there is none", id);
  TRY(expect_no_name_has(txn, id));
  return *row;
}

Result<SequenceNumber> enqueue_with(Store& store, std::shared_ptr<Named> named, base::lmdb::GroupWriter::Change change) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = std::move(change);
  entry.done = [named](const Status&) { named->records.clear(); };
  return enqueue(store, std::move(entry));
}

}  // namespace

Result<LeaseMade> Cache::create_lease(LeaseRequest request) {
  Store& store = *state_;
  if (request.owner.size() > lease_owner_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "create a lease: its owner has {} bytes, more than {}",
                      request.owner.size(), lease_owner_bytes_max);
  const LeaseId id(TRY(store.snapshots.reserve_id(), "create a lease").value());
  const LeaseRow row{std::move(request.owner), store.clock.now(), request.expires};
  const auto named = std::make_shared<Named>(std::move(request.records), std::move(request.blobs));
  const auto number = TRY(enqueue_with(store, named, [id, row, named](WriteTxn& txn) -> Status {
    TRY(put_lease(txn, id, row));
    return write_named(txn, id, *named);
  }));
  return LeaseMade{id, number};
}

Result<SequenceNumber> Cache::add_to_lease(LeaseId id, std::vector<ImmutableRef> records, std::vector<BlobDigest> blobs) {
  Store& store = *state_;
  const auto named = std::make_shared<Named>(std::move(records), std::move(blobs));
  return enqueue_with(store, named, [id, named, now = store.clock.now()](WriteTxn& txn) -> Status {
    TRY(living_lease(txn, id, now), "add to a lease");
    return write_named(txn, id, *named);
  });
}

Result<SequenceNumber> Cache::extend_lease(LeaseId id, std::optional<base::WallTime> expires) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [id, expires, now = state_->clock.now()](WriteTxn& txn) -> Status {
    LeaseRow row = TRY(living_lease(txn, id, now), "extend a lease");
    row.expires = expires;
    TRY(put_lease(txn, id, row));
    CRASH_POINT("cache.lease.extended");
    return {};
  };
  return enqueue(*state_, std::move(entry));
}

Result<SequenceNumber> Cache::release_lease(LeaseId id) {
  Store& store = *state_;
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [id, now = store.clock.now()](WriteTxn& txn) -> Status {
    LeaseRow row = TRY(living_lease(txn, id, now), "release a lease");
    // It keeps nothing from here on; what it names beyond one change's worth goes with the next sweep.
    row.expires = base::from_unix_ns(0);
    TRY(put_lease(txn, id, row));
    TRY(erase_lease(txn, id, rows_per_change));
    CRASH_POINT("cache.lease.released");
    return {};
  };
  return enqueue(store, std::move(entry));
}

Result<std::vector<LeaseInfo>> Cache::leases() { return list_leases(state_->env, state_->clock.now()); }

Status sweep_leases(Store& store, std::stop_token stop) {
  const base::WallTime now = store.clock.now();
  while (!stop.stop_requested()) {
    const auto expired = TRY(store.env.view([&](ReadTxn& txn) { return find_expired(txn, now); }));
    if (!expired) return {};
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [id = *expired, now](WriteTxn& txn) -> Status {
      const auto row = TRY(txn.get(table::leases, id));
      if (row && !row->is_over(now)) return {};  // extended meanwhile
      TRY(erase_lease(txn, id, rows_per_change));
      CRASH_POINT("cache.lease.swept");
      return {};
    };
    TRY(store.writer.wait_durable(TRY(enqueue(store, std::move(entry)))), "sweep lease {}", *expired);
  }
  return {};
}

}  // namespace cairn::cache
