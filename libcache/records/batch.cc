// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/batch.h"

#include <algorithm>
#include <memory>
#include <semaphore>
#include <unordered_set>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/explain/recipe_writer.h"
#include "libcache/gc/candidates.h"
#include "libcache/gc/tombstones.h"
#include "libcache/records/scan.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/reopened.h"
#include "libcache/records/store.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::WriteTxn;

namespace {

// What was built while its parent was found damaged is not cached: whoever made it has it, and no key leads to it.
Status mark_if_on_damaged(WriteTxn& txn, const RecordInfo& info) {
  for (const RecordId parent : info.parents)
    if (TRY(is_damaged(txn, parent)))
      return mark_damaged(txn, info.id, {info.created, fmt::format("it is built on record {}", parent)});
  return {};
}

Status write_record(WriteTxn& txn, const snapshot::Snapshotter& snapshots, const RecordInfo& info,
                    SpaceChanges& changes) {
  for (const RecordId parent : info.parents) {
    // I3. The parent's own publication failed, or was never queued.
    const auto parent_row = TRY(txn.get_raw(table::records, base::Codec<RecordId>::encode(parent)));
    if (!parent_row) return base::fail(ErrorCode::not_found, "publish record {}: its parent {} is not published",
                                        info.id, parent);
    TRY(txn.put(table::children, {parent, info.id}, Present{}));
    TRY(drop_candidate(txn, parent));
  }
  RecordRow row = to_row(info);
  if (info.snapshot) {
    TRY(snapshots.publish(txn, info.snapshot), "publish record {}", info.id);
    const auto tree = TRY(snapshot::find_snapshot(txn, info.snapshot));
    CHECK(tree, "snapshot {} is published and has no row", info.snapshot);
    set_tree_space(row.space, *tree);
  }
  if (const auto named = changes.spaces.extract(info.id)) add_to(row.space, named.mapped());
  TRY(put_record(txn, info.id, row, changes.totals));
  if (!info.facts.chain.is_zero()) TRY(txn.put(table::chains, {info.facts.chain, info.id}, Present{}));
  return mark_if_on_damaged(txn, info);
}

// I5: a key never leads to a record that is not there, be it that it was never published.
Result<bool> record_exists(WriteTxn& txn, RecordId id) {
  const auto row = TRY(txn.get_raw(table::records, base::Codec<RecordId>::encode(id)));
  return row.has_value();
}

Status write_blob_names(WriteTxn& txn, const Batch& batch, SpaceChanges& changes) {
  const auto is_new = [&](RecordId id) {
    return std::any_of(batch.records.begin(), batch.records.end(), [id](const auto& record) { return record.id == id; });
  };
  for (const auto& [record, blob] : batch.blobs) {
    const auto row = TRY(txn.get_raw(table::blobs, base::Codec<BlobDigest>::encode(blob)));
    if (!row) return base::fail(ErrorCode::not_found, "publish record {}: its blob {} does not exist", record, blob);
    const bool exists = is_new(record) || TRY(record_exists(txn, record));
    if (exists) TRY(put_record_blob(txn, record, blob, changes));
  }
  return {};
}

// Runs on the writer's thread when the batch is durable, or has failed.
void finish_batch(Store& store, const std::shared_ptr<Batch>& batch, const Status& outcome) {
  if (!outcome && !batch->records.empty())
    base::log_warning("not cached: {}", outcome.error().message);
  if (!outcome && outcome.error().code == ErrorCode::no_space) {
    ++store.dropped_writes;
    store.collector.disk_is_full();
  }
  batch->reopened.clear();  // before their children let go of them: they are found as ancestors from here on
  std::int64_t grown = 0;
  for (const RecordInfo& record : batch->records) {
    if (outcome && record.snapshot) store.snapshots.published(record.snapshot);
    grown += outcome ? record.usage.bytes : 0;
    store.holds.set_outcome(record.id, outcome ? Standing::durable : Standing::failed);
  }
  for (const BatchEntry& entry : batch->entries) {
    grown += outcome ? entry.bytes : 0;
    store.readers.after_current([&store, id = entry.record] { store.fresh_entries.remove(id); });
  }
  for (const auto& [record, blob] : batch->blobs) store.blobs.named(blob, outcome.has_value());
  batch->claims.reset();
  if (outcome)
    store.readers.after_current([&store, batch] { store.pending.remove(*batch); });
  else
    store.pending.remove(*batch);
  for (const PendingPages::SetPtr& set : batch->pages) {
    if (outcome)
      store.readers.after_current([&store, set] { store.pages.remove(set); });
    else
      store.pages.remove(set);
  }
  for (const auto& [record, layer] : batch->layers)
    store.readers.after_current([&store, id = record, blob = layer.blob] { store.fresh_layers.remove(id, blob); });
  if (outcome) store.ledger.note(*batch);
  batch->holds.clear();
  if (grown > 0) store.collector.grown(grown);  // at last: what is held by us it could not take, and nothing would wake it again
}

// Pages are a help, so nothing fails for want of one: the set is left out whole.
Status write_pages(WriteTxn& txn, const PageSet& set) {
  const bool exists = TRY(record_exists(txn, set.record));
  if (!exists || !TRY(can_store_pages(txn, set))) return {};
  return store_pages(txn, set);
}

// What the records of the step were made of; nobody else's is touched, for a step may hand on what another one has made.
Status write_recipes(WriteTxn& txn, const Batch& batch) {
  std::unordered_set<RecordId> written;
  bool put = false;
  for (std::size_t i = batch.results_of_step; batch.recipe && i < batch.results.size(); ++i) {
    const Batch::Result& result = batch.results[i];
    if (!result.record || !written.insert(result.record).second) continue;
    const auto made = std::find_if(batch.records.begin(), batch.records.end(),
                                   [&](const RecordInfo& record) { return record.id == result.record; });
    NewRecipe recipe{.record = result.record, .key = result.key, .recipe = *batch.recipe, .made = result.created};
    if (made != batch.records.end()) {
      recipe.took = made->facts.build_time;
      recipe.rules = made->facts.rules;
    } else if (!TRY(record_exists(txn, result.record)) || TRY(has_recipe(txn, result.record))) {
      continue;
    }
    recipe.further = put;
    TRY(put_recipe(txn, recipe, batch.recipes_max));
    put = true;
  }
  return {};
}

}  // namespace

Status write_rows(WriteTxn& txn, const snapshot::Snapshotter& snapshots, const Batch& batch) {
  TRY(keep_candidates(txn));
  // Names first: the row of a new record is written once, with the space of what it names.
  SpaceChanges changes;
  TRY(write_blob_names(txn, batch, changes));
  for (const RecordInfo& info : batch.records) TRY(write_record(txn, snapshots, info, changes));
  TRY(apply(txn, std::move(changes)));
  for (const auto& [record, layer] : batch.layers) {
    const bool exists = TRY(record_exists(txn, record));
    if (exists) TRY(put_layer(txn, record, layer));
  }
  std::unordered_set<RecordId> made;  // have their first key here; further ones may come with another batch
  for (const Batch::Result& result : batch.results) {
    const bool leads = !result.record || (TRY(record_exists(txn, result.record)) && !TRY(is_damaged(txn, result.record)));
    if (!leads) continue;
    if (!TRY(has_rows(txn, table::record_keys, key_prefix(result.record)))) made.insert(result.record);
    TRY(put_result(txn, result.key, result.record, result.created));
    TRY(note_key(txn, result.record));
    const auto tombstone = TRY(exhume(txn, result.key));
    if (tombstone && made.erase(result.record) > 0) TRY(note_regret(txn, *tombstone));
  }
  for (const BatchEntry& entry : batch.entries) TRY(put_entry(txn, entry));
  if (batch.names) TRY(batch.names(txn));
  for (const RecordInfo& info : batch.records) TRY(admit_candidate(txn, info.id));
  for (const auto& [link, target] : batch.links) TRY(put_link(txn, link, target));
  for (const auto& reopened : batch.reopened) TRY(replace_record(txn, reopened->record().id()));
  for (const Batch::Digest& digest : batch.digests) {
    const bool exists = TRY(record_exists(txn, digest.record));
    if (exists) TRY(txn.put(table::tree_digests, {digest.record, digest.selections}, TreeDigestRow{digest.digest}));
  }
  for (const PendingPages::SetPtr& set : batch.pages) TRY(write_pages(txn, *set));
  TRY(write_recipes(txn, batch));
  CRASH_POINT("cache.publish.rows_written");
  return {};
}

Result<base::lmdb::SequenceNumber> enqueue_batch(Store& store, Batch batch) {
  batch.number = store.pending.next_number();
  const auto shared = std::make_shared<Batch>(std::move(batch));
  base::lmdb::GroupWriter::Entry entry;
  for (const RecordInfo& record : shared->records) {
    if (record.snapshot) entry.data.push_back(store.snapshots.data_token(record.snapshot));
    entry.bytes += static_cast<std::size_t>(std::max<std::int64_t>(record.usage.bytes, 0));
  }
  entry.change = [&snapshots = std::as_const(store.snapshots), shared](WriteTxn& txn) -> Status {
    if (shared->step) shared->repeated = TRY(find_repeated(txn, *shared));
    return write_rows(txn, snapshots, *shared);
  };
  for (const auto& [record, layer] : shared->layers) store.fresh_layers.add(record, layer);
  for (const BatchEntry& kept : shared->entries) store.fresh_entries.add(kept.record, kept.row);
  entry.done = [&store, shared](const Status& outcome) { finish_batch(store, shared, outcome); };
  const std::vector<RecordInfo>& records = shared->records;
  const auto number = TRY(enqueue(store, std::move(entry)));
  CRASH_POINT("cache.publish.queued");
  for (const RecordInfo& record : records) store.holds.set_queued(record.id, number);
  store.pending.add(*shared);
  return number;
}

void keep_digests(Store& store, const ImmutableRef& ref, std::optional<Batch::Digest> digest,
          std::vector<PendingPages::SetPtr> pages) {
  for (const PendingPages::SetPtr& set : pages) store.pages.add(set);
  if (store.holds.standing_of(ref.id()) == Standing::unpublished) {
    if (digest) store.pending.keep_digest(*digest);
    return;
  }
  Batch batch;
  if (digest) batch.digests.push_back(*digest);
  batch.pages = std::move(pages);
  batch.holds.push_back(ref);
  if (batch.digests.empty() && batch.pages.empty()) return;
  const auto number = enqueue_batch(store, std::move(batch));
  if (!number) base::log_warning("tree digest of record {} is not kept: {}", ref.id(), number.error().message);
}

base::Status await_outcomes(Store& store) {
  const auto settled = std::make_shared<std::binary_semaphore>(0);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [](WriteTxn&) -> Status { return {}; };
  entry.done = [settled](const Status&) { settled->release(); };
  const auto number = TRY(store.writer.enqueue(std::move(entry)));
  const Status outcome = store.writer.wait_durable(number);
  settled->acquire();
  return outcome;
}

void enqueue_use_times(Store& store) {
  auto uses = std::make_shared<const UseMap>(store.use_times.take());
  if (uses->empty()) return;
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [uses](WriteTxn& txn) -> Status {
    for (const auto& [id, some] : *uses) {
      auto row = TRY(txn.get(table::records, id));
      if (!row) continue;
      row->last_used = std::max(row->last_used, some.last);
      row->use_count += some.count;
      TRY(put_record(txn, id, *row));
    }
    return {};
  };
  entry.done = [&store, uses](const Status& outcome) {
    if (outcome)
      store.use_times.written(*uses);
    else
      store.use_times.given_back(*uses);
  };
  const auto number = enqueue(store, std::move(entry));
  if (!number) base::log_warning("use times are not written yet: {}", number.error().message);
}

}  // namespace cairn::cache
