// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/store.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

void InFlight::begin() { ++state_.lock()->count; }

void InFlight::end() {
  auto state = state_.lock();
  // Notified under the lock: whoever waits may destroy this object as soon as it can take the lock.
  if (--state->count == 0) none_.notify_all();
}

void InFlight::wait_none() {
  auto state = state_.lock();
  none_.wait(state.lock(), [&] { return state->count == 0; });
}

Store::Store(base::HostPath root_in, base::lmdb::Env& env_in, base::lmdb::GroupWriter& writer_in,
             snapshot::Snapshotter& snapshots_in, const base::Clock& clock_in)
    : root(std::move(root_in)),
      env(env_in),
      writer(writer_in),
      snapshots(snapshots_in),
      clock(clock_in),
      holds(*this),
      keys(*this),
      blobs(*this) {}

Result<base::lmdb::SequenceNumber> enqueue(Store& store, base::lmdb::GroupWriter::Entry entry) {
  auto done = std::make_shared<std::function<void(const Status&)>>(std::move(entry.done));
  entry.done = [&store, done](const Status& outcome) {
    if (*done) (*done)(outcome);
    *done = nullptr;  // what it owns goes before the cache may
    store.in_flight.end();
  };
  auto refused = entry.done;
  store.in_flight.begin();
  auto number = store.writer.enqueue(std::move(entry));
  if (!number)
    refused(Status(tl::unexpect, number.error()));
  else
    store.last_number = std::max(store.last_number.load(), *number);  // a lost race costs waiting, no more
  return number;
}

void add_memory(Store& store, RecordInfo& info) {
  const auto uses = store.use_times.find(info.id);
  if (!uses) return;
  info.last_used = std::max(info.last_used, uses->last);
  info.use_count += uses->count;
}

Result<std::optional<ImmutableRef>> hold_record(Store& store, RecordId id) {
  using MaybeRef = std::optional<ImmutableRef>;
  if (!id) return MaybeRef();
  Holds::Begun begun = store.holds.begin(id);  // I4: first the hold, then the look
  if (begun.outcome == Holds::Begin::refused) return MaybeRef();
  if (begun.outcome == Holds::Begin::claimed) {
    auto row = store.keys.in_version([&](ReadTxn& txn) { return txn.get(table::records, id); });
    // A damaged row is a miss: fsck takes it out or makes it anew.
    const bool damaged = !row && row.error().code == base::ErrorCode::corrupt;
    if (damaged) base::log_warning("record {} is a miss: {}", id, row.error().message);
    if (!row || !*row) {
      store.holds.give_up(id);
      if (!row && !damaged) return tl::unexpected(base::add_context(std::move(row).error(), fmt::format("find record {}", id)));
      return MaybeRef();
    }
    begun.ref = store.holds.finish(to_info(id, std::move(**row)));
  }
  return std::move(begun.ref);
}

Result<std::optional<ImmutableRef>> find_record(Store& store, RecordId id) {
  auto ref = TRY(hold_record(store, id));
  if (ref) store.use_times.note(id, {store.clock.now(), 1});
  return ref;
}

Result<std::optional<ImmutableRef>> find_record_of_chain(Store& store, const ChainId& chain) {
  std::vector<RecordId> candidates = store.pending.records_of(chain);
  TRY(store.keys.in_version([&](ReadTxn& txn) {
    return scan_rows(txn, table::chains, chain.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
      if (!TRY(is_damaged(txn, std::get<1>(key)))) candidates.push_back(std::get<1>(key));
      return Scan::next;
    });
  }));
  for (const RecordId candidate : candidates) {
    auto ref = TRY(find_record(store, candidate));
    if (ref) return ref;
  }
  return std::optional<ImmutableRef>();
}

}  // namespace cairn::cache
