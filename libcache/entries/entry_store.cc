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
#include "libcache/records/scan.h"
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
Result<std::int64_t> claim_blobs(Store& store, Batch& batch, std::optional<NamespaceId> space) {
  auto claims = std::make_shared<std::deque<BlobClaims::Claim>>();
  std::int64_t bytes = 0;
  for (const auto& [record, blob] : batch.blobs) {
    store.blobs.add_claim(blob, *claims);
    const auto found = TRY(store.blobs.find(blob));
    const bool hidden = space && !TRY(store.blobs.is_in(*space, blob));
    if (!found || hidden) return base::fail(ErrorCode::not_found, "its blob {} is not there", blob);
    bytes += found->allocated_bytes;
  }
  batch.claims = std::move(claims);
  return bytes;
}

// What its record names: the value and the closure.
Result<std::vector<BlobDigest>> blobs_of(Store& store, RecordId record) {
  if (const auto number = store.holds.sequence_of(record); number != 0) TRY(store.writer.wait_durable(number));
  std::vector<BlobDigest> blobs;
  TRY(store.env.view([&](ReadTxn& txn) {
    return scan_rows(txn, table::record_blobs, key_prefix(record), [&](const std::tuple<RecordId, BlobDigest>& key, const Present&) -> Result<base::lmdb::Scan> {
      blobs.push_back(std::get<1>(key));
      return base::lmdb::Scan::next;
    });
  }));
  return blobs;
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

EntryStore::EntryStore(Cache& cache, std::optional<NamespaceId> space)
    : store_(local_blobs(cache).store()), space_(space) {}

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
      entry.emplace(Entry{std::move(*hold), row->value, row->value_bytes, std::move(row->attributes), row->in_namespace});
      return {};
    }
    return {};
  }));
  return entry;
}

Result<std::optional<Entry>> EntryStore::look_for(const EntryName& name, const Accepts& accepts) {
  EntryName asked = name;
  for (const Trust written_by : {Trust::trusted, Trust::untrusted}) {
    if (written_by < name.trust) break;  // not for whoever is trusted
    asked.trust = written_by;
    auto entry = TRY(look(key_of(asked)));
    if (entry && (!accepts || accepts(*entry))) return entry;
  }
  return std::optional<Entry>();
}

Result<std::optional<Entry>> EntryStore::find(const EntryName& name, const Accepts& accepts) {
  const auto entry = TRY(look_for(name, accepts), "find entry {}", name.key);
  if (entry && space_ && !entry->in_namespace) TRY(give_closure(*entry), "find entry {}", name.key);
  Counters counted;
  if (entry) {
    store_.use_times.note(entry->hold.id(), {store_.clock.now(), 1});
    counted.hits = 1;
    counted.bytes_saved = static_cast<std::int64_t>(entry->value_bytes);
    counted.time_saved = entry->hold.info().facts.build_time;
  } else {
    const auto tombstone = TRY(store_.env.view([&](ReadTxn& txn) { return txn.get(table::tombstones, key_of(name)); }));
    counted = one_miss(tombstone ? MissCause::evicted : MissCause::never_seen);
  }
  store_.tally.add(owner_of(name).project, counted);
  return entry;
}

// One that was put when there were no namespaces, or that a tier has brought.
Status EntryStore::give_closure(const Entry& entry) {
  for (const BlobDigest& blob : TRY(blobs_of(store_, entry.hold.id())))
    if (!TRY(store_.blobs.is_in(*space_, blob))) TRY(store_.blobs.give(*space_, blob));
  return {};
}

void EntryStore::promise(const Entry& entry) { store_.holds.promise(entry.hold.id()); }

void EntryStore::promise(const BlobDigest& blob) { store_.blobs.promise(blob); }

void EntryStore::uploaded(const BlobDigest& blob) { store_.blobs.promise_instead(blob); }

Result<bool> EntryStore::contains(const EntryName& name, const Accepts& accepts) {
  return TRY(look_for(name, accepts), "look for entry {}", name.key).has_value();
}

Result<EntryStore::Put> EntryStore::put(NewEntry entry, Existing existing) {
  const BlobDigest value = entry.value;
  auto put = put_given(std::move(entry), existing);
  // Nobody else is going to name what was put for this.
  if (!put || put->outcome == Outcome::same || put->outcome == Outcome::kept) store_.blobs.named(value, true);
  return put;
}

Result<EntryStore::Put> EntryStore::promote(EntryName name, const Promoter& by, Existing existing) {
  if (by.reason.size() > promotion_reason_bytes_max || by.who.size() > promotion_who_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "promote entry {}: a reason has at most {} bytes", name.key,
                      promotion_reason_bytes_max);
  name.trust = Trust::untrusted;
  const auto entry = TRY(look(key_of(name)), "promote entry {}", name.key);
  name.trust = Trust::trusted;
  if (!entry) return base::fail(ErrorCode::not_found, "promote entry {}: no untrusted writer has put one", describe(name));
  std::vector<BlobDigest> closure = TRY(blobs_of(store_, entry->hold.id()), "promote entry {}", name.key);
  auto put = TRY(put_given({.name = name,
                            .value = entry->value,
                            .closure = std::move(closure),
                            .attributes = entry->attributes,
                            .build_time = entry->hold.info().facts.build_time},
                           existing, &by));
  if (put.outcome == Outcome::kept)
    return base::fail(ErrorCode::already_exists, "promote entry {}: a trusted writer has put another value", describe(name));
  if (put.sequence != 0) TRY(store_.writer.wait_durable(put.sequence), "promote entry {}", name.key);
  return put;
}

Result<EntryStore::Put> EntryStore::put_given(NewEntry entry, Existing existing, const Promoter* promoter) {
  TRY(check(entry), "put entry {}", entry.name.key);
  const KeyDigest key = key_of(entry.name);
  const auto turn = store_.entry_turns.take(key);
  const auto before = TRY(look(key), "put entry {}", entry.name.key);
  if (before && before->value == entry.value && before->attributes == entry.attributes) {
    store_.use_times.note(before->hold.id(), {store_.clock.now(), 1});
    return Put{Outcome::same, store_.holds.sequence_of(before->hold.id())};
  }
  const auto shown = existing == Existing::keep && !before ? TRY(look_for(entry.name), "put entry {}", entry.name.key) : std::nullopt;
  if (const auto& there = before ? before : shown; there && existing == Existing::keep)
    return Put{Outcome::kept, store_.holds.sequence_of(there->hold.id())};

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
  const std::int64_t bytes = TRY(claim_blobs(store_, batch, promoter ? std::nullopt : space_), "put entry {}", entry.name.key);
  const auto value = TRY(store_.blobs.find(entry.value), "put entry {}", entry.name.key);
  // A claim keeps it from being collected, not from being found damaged.
  if (!value) return base::fail(ErrorCode::not_found, "put entry {}: blob {} is not there", entry.name.key, entry.value);
  batch.records.push_back(info);
  batch.results.push_back({key, info.id, info.created});
  const bool in_namespace = space_ && promoter == nullptr;
  batch.entries.push_back({info.id, key, {entry.value, value->size, std::move(entry.attributes), in_namespace}, bytes});
  if (promoter != nullptr) {
    auto& [door, instance, trust, name] = entry.name;
    batch.entries.back().promotion = {store_.clock.now(), promoter->who, promoter->reason, door, instance, name, entry.value,
                                      before ? std::optional(before->value) : std::nullopt};
    trust = Trust::untrusted;
    batch.entries.back().instead_of = key_of(entry.name);
  }
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
