// SPDX-License-Identifier: Apache-2.0
#include "libcache/entry_store.h"

#include <algorithm>

#include "libbase/crash_point.h"
#include "libbase/hash/sha256.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/gc/tombstones.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/batch.h"
#include "libcache/records/reopened.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

constexpr std::uint8_t key_version = 1;

std::string describe(const EntryName& name) {
  const std::string_view not_trusted = name.trust == Trust::trusted ? "" : ", untrusted";
  return fmt::format("{} {}{}", owner_of(name).project, name.key, not_trusted);
}

Status check(const NewEntry& entry) {
  if (entry.name.key.empty() || entry.name.key.size() > entry_key_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "its key has {} bytes", entry.name.key.size());
  if (entry.attributes.size() > entry_attributes_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "its attributes have {} bytes, more than {}",
                      entry.attributes.size(), entry_attributes_bytes_max);
  return check_owner(owner_of(entry.name));
}

// I4: each is claimed before it is looked for, so that none goes until the outcome is known.
Result<std::int64_t> claim_blobs(Store& store, Batch& batch) {
  auto claims = std::make_shared<std::deque<BlobClaims::Claim>>();
  std::int64_t bytes = 0;
  for (const auto& [record, blob] : batch.blobs) {
    store.blobs.add_claim(blob, *claims);
    const auto found = TRY(store.blobs.find(blob));
    if (!found) return base::fail(ErrorCode::not_found, "its blob {} is not there", blob);
    bytes += found->allocated_bytes;
  }
  batch.claims = std::move(claims);
  return bytes;
}

}  // namespace

std::string_view to_string(Trust trust) { return trust == Trust::trusted ? "trusted" : "untrusted"; }

KeyDigest key_of(const EntryName& name) {
  base::ByteWriter writer;
  writer.string("cairn.entry").u8(key_version).u8(static_cast<std::uint8_t>(name.trust));
  writer.string(name.door).string(name.instance).string(name.key);
  return base::digest_of<KeyDigest>(writer.take());
}

Owner owner_of(const EntryName& name) {
  return {.project = name.instance.empty() ? name.door : name.door + "/" + name.instance};
}

void set_promise_time(Cache& cache, std::chrono::milliseconds time) {
  Store& store = local_blobs(cache).store();
  store.holds.set_promise_time(time);
  store.blobs.set_promise_time(time);
}

EntryStore::EntryStore(Cache& cache) : store_(local_blobs(cache).store()) {}

// What is queued, and then the table, as with keys.
Result<std::optional<Entry>> EntryStore::look(const KeyDigest& key) {
  std::optional<Entry> entry;
  TRY(store_.keys.read([&](KeyStore::Reader& reader) -> Status {
    for (const KeyResult& result : TRY(reader.results(key))) {
      auto hold = TRY(hold_record(store_, result.record));
      if (!hold) continue;
      auto row = store_.fresh_entries.find(result.record);
      if (!row) row = TRY(store_.keys.in_version([&](ReadTxn& txn) { return txn.get(table::entries, result.record); }));
      if (!row) continue;
      entry.emplace(Entry{std::move(*hold), row->value, row->value_bytes, std::move(row->attributes)});
      return {};
    }
    return {};
  }));
  return entry;
}

Result<std::optional<Entry>> EntryStore::find(const EntryName& name, const Accepts& accepts) {
  const KeyDigest key = key_of(name);
  auto entry = TRY(look(key), "find entry {}", name.key);
  if (entry && accepts && !accepts(*entry)) entry.reset();
  Counters counted;
  if (entry) {
    store_.use_times.note(entry->hold.id(), {store_.clock.now(), 1});
    counted.hits = 1;
    counted.bytes_saved = static_cast<std::int64_t>(entry->value_bytes);
    counted.time_saved = entry->hold.info().facts.build_time;
  } else {
    const auto tombstone = TRY(store_.env.view([&](ReadTxn& txn) { return txn.get(table::tombstones, key); }));
    counted = one_miss(tombstone ? MissCause::evicted : MissCause::never_seen);
  }
  store_.tally.add(owner_of(name).project, counted);
  return entry;
}

void EntryStore::promise(const Entry& entry) { store_.holds.promise(entry.hold.id()); }

void EntryStore::promise(const BlobDigest& blob) { store_.blobs.promise(blob); }

void EntryStore::uploaded(const BlobDigest& blob) { store_.blobs.promise_instead(blob); }

Result<bool> EntryStore::contains(const EntryName& name, const Accepts& accepts) {
  const auto entry = TRY(look(key_of(name)), "look for entry {}", name.key);
  return entry && (!accepts || accepts(*entry));
}

Result<EntryStore::Put> EntryStore::put(NewEntry entry, Existing existing) {
  const BlobDigest value = entry.value;
  auto put = put_given(std::move(entry), existing);
  // Nobody else is going to name what was put for this.
  if (!put || put->outcome == Outcome::same || put->outcome == Outcome::kept) store_.blobs.named(value, true);
  return put;
}

Result<EntryStore::Put> EntryStore::put_given(NewEntry entry, Existing existing) {
  TRY(check(entry), "put entry {}", entry.name.key);
  const KeyDigest key = key_of(entry.name);
  const auto turn = store_.entry_turns.take(key);
  const auto before = TRY(look(key), "put entry {}", entry.name.key);
  if (before && before->value == entry.value && before->attributes == entry.attributes) {
    store_.use_times.note(before->hold.id(), {store_.clock.now(), 1});
    return Put{Outcome::same, store_.holds.sequence_of(before->hold.id())};
  }
  if (before && existing == Existing::keep) return Put{Outcome::kept, store_.holds.sequence_of(before->hold.id())};

  RecordInfo info;
  info.id = RecordId(TRY(store_.snapshots.reserve_id(), "put entry {}", entry.name.key).value());
  info.facts.description = describe(entry.name);
  info.facts.owner = owner_of(entry.name);
  info.facts.build_time = entry.build_time;
  info.created = info.last_used = store_.clock.now();
  Batch batch;
  batch.blobs.emplace_back(info.id, entry.value);
  std::sort(entry.closure.begin(), entry.closure.end());
  entry.closure.erase(std::unique(entry.closure.begin(), entry.closure.end()), entry.closure.end());
  for (const BlobDigest& blob : entry.closure)
    if (blob != entry.value) batch.blobs.emplace_back(info.id, blob);
  const std::int64_t bytes = TRY(claim_blobs(store_, batch), "put entry {}", entry.name.key);
  const auto value = TRY(store_.blobs.find(entry.value), "put entry {}", entry.name.key);
  // A claim keeps it from being collected, not from being found damaged.
  if (!value) return base::fail(ErrorCode::not_found, "put entry {}: blob {} is not there", entry.name.key, entry.value);
  batch.records.push_back(info);
  batch.results.push_back({key, info.id, info.created});
  batch.entries.push_back({info.id, key, {entry.value, value->size, std::move(entry.attributes)}, bytes});
  batch.holds.push_back(store_.holds.add_unpublished(std::move(info), {}));
  enqueue_use_times(store_);
  enqueue_counters(store_);
  const auto number = TRY(enqueue_batch(store_, std::move(batch)), "put entry {}", entry.name.key);
  return Put{before ? Outcome::replaced : Outcome::made, number};
}

Result<bool> EntryStore::erase(const EntryName& name) {
  const KeyDigest key = key_of(name);
  const auto turn = store_.entry_turns.take(key);
  if (!TRY(look(key), "erase entry {}", name.key)) return false;
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [key](WriteTxn& txn) -> Status {
    for (const RecordId record : TRY(results_of(txn, key))) TRY(replace_record(txn, record));
    CRASH_POINT("cache.entry.erased");
    return {};
  };
  TRY(store_.writer.wait_durable(TRY(enqueue(store_, std::move(entry)))), "erase entry {}", name.key);
  TRY(await_outcomes(store_), "erase entry {}", name.key);  // what was put just now is found in memory until then
  return true;
}

}  // namespace cairn::cache
