// SPDX-License-Identifier: Apache-2.0
// What may be said of a record after it has been made.
#include "libbase/crash_point.h"
#include "libcache/account/totals.h"
#include "libcache/cache.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::WriteTxn;

namespace {

void apply(const RecordChanges& changes, RecordRow& row) {
  if (changes.description) row.facts.description = *changes.description;
  if (changes.type) row.facts.type = *changes.type;
  if (changes.owner) row.facts.owner = *changes.owner;
  if (changes.build_time) row.facts.build_time = *changes.build_time;
  if (changes.created) row.created = *changes.created;
}

}  // namespace

Result<base::lmdb::SequenceNumber> Cache::change_record(const ImmutableRef& ref, RecordChanges changes) {
  if (changes.owner) TRY(check_owner(*changes.owner), "change record {}", ref.id());
  const auto held = std::make_shared<std::optional<ImmutableRef>>(ref);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [id = ref.id(), changes = std::move(changes)](WriteTxn& txn) -> Status {
    auto row = TRY(txn.get(table::records, id));
    if (!row) return base::fail(ErrorCode::not_found, "change record {}: it is not published", id);
    apply(changes, *row);
    TRY(put_record(txn, id, *row));
    CRASH_POINT("cache.change_record.written");
    return {};
  };
  entry.done = [held](const Status&) { held->reset(); };
  return enqueue(*state_, std::move(entry));
}

}  // namespace cairn::cache
