// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/prune.h"

#include <algorithm>
#include <memory>
#include <semaphore>
#include <set>
#include <span>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/gc/select.h"
#include "libcache/keys/key_rows.h"
#include "libcache/pages/page_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libcache/stat_cache.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t records_per_change = 256;
constexpr std::size_t keys_per_change = 4096;
constexpr std::size_t pages_per_change = 4096;
constexpr std::chrono::hours stats_kept{24 * 30};

// One transaction's worth of deletion. Owned by its change, which may run twice: what it finds out it starts anew.
struct Step {
  std::vector<RecordId> candidates;
  Reach reach = Reach::unkeyed_only;
  std::vector<KeyDigest> keys_before;  // dead keys that an earlier step has not come to

  std::vector<RecordInfo> removed;
  std::vector<KeyDigest> keys_after;
  std::set<RecordId> marked;  // dying, of all runs
};

Result<std::optional<RecordInfo>> still_removable(WriteTxn& txn, RecordId id, Reach reach, base::WallTime now) {
  auto row = TRY(txn.get(table::records, id));
  if (!row) return std::optional<RecordInfo>();
  const bool has_child = TRY(has_rows(txn, table::children, key_prefix(id)));
  if (has_child) return std::optional<RecordInfo>();
  const bool keyed = reach == Reach::unkeyed_only && TRY(has_rows(txn, table::record_keys, key_prefix(id)));
  if (keyed) return std::optional<RecordInfo>();
  const bool leased = TRY(is_leased(txn, id, now));  // I4
  if (leased) return std::optional<RecordInfo>();
  return std::optional<RecordInfo>(to_info(id, std::move(*row)));
}

Status run_step(WriteTxn& txn, Store& store, Step& step) {
  step.removed.clear();
  step.keys_after = step.keys_before;
  for (const RecordId id : step.candidates) {
    auto info = TRY(still_removable(txn, id, step.reach, store.clock.now()));
    if (!info || !store.holds.try_mark_dying(id)) continue;
    step.marked.insert(id);
    TRY(erase_record(txn, store.snapshots, *info, step.keys_after), "prune record {}", id);
    step.removed.push_back(std::move(*info));
  }
  return erase_dead_keys(txn, step.keys_after, keys_per_change);
}

// Ids stay dying until no lookup is left that could still read their rows in an old version.
void release_marks(Store& store, const Step& step, const Status& outcome) {
  std::vector<RecordId> gone, spared;
  const auto was_removed = [&](RecordId id) {
    const auto same = [id](const RecordInfo& info) { return info.id == id; };
    return std::any_of(step.removed.begin(), step.removed.end(), same);
  };
  for (const RecordId id : step.marked) (outcome && was_removed(id) ? gone : spared).push_back(id);
  store.holds.unmark_dying(spared);
  if (!gone.empty())
    store.readers.after_current([&store, gone = std::move(gone)] { store.holds.unmark_dying(gone); });
}

Status commit_change(Store& store, base::lmdb::GroupWriter::Change change) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = std::move(change);
  const auto number = TRY(enqueue(store, std::move(entry)));
  return store.writer.wait_durable(number);
}

Status remove_records(Store& store, std::span<const RecordId> selected, Reach reach, std::stop_token stop,
                      PruneReport& report) {
  std::vector<KeyDigest> dead_keys;
  while ((!selected.empty() && !stop.stop_requested()) || !dead_keys.empty()) {
    const std::size_t count = stop.stop_requested() ? 0 : std::min(selected.size(), records_per_change);
    const auto step = std::make_shared<Step>();
    step->candidates.assign(selected.begin(), selected.begin() + static_cast<std::ptrdiff_t>(count));
    step->reach = reach;
    step->keys_before = std::move(dead_keys);
    const Status outcome =
        commit_change(store, [&store, step](WriteTxn& txn) { return run_step(txn, store, *step); });
    release_marks(store, *step, outcome);
    TRY(Status(outcome));
    dead_keys = step->keys_after;
    selected = selected.subspan(count);
    report.records.insert(report.records.end(), step->removed.begin(), step->removed.end());
  }
  return {};
}

Status remove_blobs(Store& store, const std::vector<BlobInfo>& selected, std::stop_token stop, PruneReport& report) {
  for (std::size_t from = 0; from < selected.size() && !stop.stop_requested(); from += records_per_change) {
    const std::size_t to = std::min(selected.size(), from + records_per_change);
    const std::vector<BlobInfo> piece(selected.begin() + static_cast<std::ptrdiff_t>(from),
                                      selected.begin() + static_cast<std::ptrdiff_t>(to));
    const auto removed = std::make_shared<std::vector<BlobInfo>>();
    const Status outcome = commit_change(store, [&store, piece, removed](WriteTxn& txn) -> Status {
      removed->clear();
      for (const BlobInfo& blob : piece) {
        const bool named = TRY(blob_is_named(txn, blob.digest));
        const bool leased = TRY(is_leased(txn, blob.digest, store.clock.now()));
        if (named || leased || !store.blobs.try_mark_dying(blob.digest)) continue;
        TRY(erase_blob(txn, blob.digest));
        removed->push_back(blob);
      }
      return {};
    });
    if (!outcome) removed->clear();
    const auto goes = [&](const BlobInfo& blob) {
      const auto same = [&](const BlobInfo& other) { return other.digest == blob.digest; };
      return std::any_of(removed->begin(), removed->end(), same);
    };
    for (const BlobInfo& blob : piece)
      if (!goes(blob)) store.blobs.unmark_dying(blob.digest);
    TRY(Status(outcome));
    CRASH_POINT("cache.prune.blob_rows_deleted");
    for (const BlobInfo& blob : *removed) {
      TRY(store.blobs.remove_bytes(blob.digest));
      ++report.blobs;
      report.freed_bytes += blob.allocated_bytes;
    }
  }
  return {};
}

// In small transactions. What a stopped prune leaves in the trash, the next one takes out.
Status remove_pages(Store& store, std::stop_token stop) {
  const auto more = std::make_shared<bool>(true);
  while (*more && !stop.stop_requested()) {
    TRY(commit_change(store, [more](WriteTxn& txn) -> Status {
      *more = TRY(erase_page_trash(txn, pages_per_change));
      return {};
    }));
    CRASH_POINT("cache.prune.pages_erased");
  }
  return {};
}

// What is queued becomes durable and lets go of its holds first: whoever waited for its publication and then prunes
// means what he published, too.
Status settle_queue(Store& store) {
  const auto settled = std::make_shared<std::binary_semaphore>(0);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [](WriteTxn&) -> Status { return {}; };
  entry.done = [settled](const Status&) { settled->release(); };
  const auto number = TRY(enqueue(store, std::move(entry)));
  const Status outcome = store.writer.wait_durable(number);
  settled->acquire();
  return outcome;
}

void add_uses(Store& store, std::vector<RecordInfo>& records) {
  for (RecordInfo& info : records) add_memory(store, info);
}

Result<PruneReport> rehearse(Store& store, const std::vector<RecordId>& selected, const std::vector<BlobInfo>& blobs) {
  PruneReport report;
  for (std::size_t from = 0; from < selected.size(); from += rows_per_view) {
    const std::size_t to = std::min(selected.size(), from + rows_per_view);
    const auto look = [&](ReadTxn& txn) -> Status {
      for (std::size_t i = from; i < to; ++i) {
        auto row = TRY(txn.get(table::records, selected[i]));
        if (!row) continue;
        const auto tree = TRY(snapshot::find_snapshot(txn, row->snapshot));
        if (tree) report.freed_bytes += tree->exclusive.bytes;
        report.records.push_back(to_info(selected[i], std::move(*row)));
      }
      return {};
    };
    TRY(store.env.view(look));
  }
  TRY(store.env.view([&](ReadTxn& txn) {
    return snapshot::each_trash(txn, [&](snapshot::SnapshotId, snapshot::Usage usage) -> Result<Scan> {
      report.freed_bytes += usage.bytes;
      return Scan::next;
    });
  }));
  for (const BlobInfo& blob : blobs) report.freed_bytes += blob.allocated_bytes;
  report.blobs = blobs.size();
  return report;
}

}  // namespace

Result<PruneReport> prune_store(Store& store, const PruneOptions& options, std::stop_token stop) {
  if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "prune");
  const Reach reach = options.all ? Reach::everything : Reach::unkeyed_only;
  TRY(settle_queue(store), "prune");
  if (!options.dry_run) TRY(sweep_leases(store, stop), "prune");
  const std::vector<RecordId> selected = TRY(select_records(store, reach), "prune");
  if (options.dry_run) {
    const std::vector<BlobInfo> blobs = TRY(select_blobs(store, selected), "prune");
    auto report = TRY(rehearse(store, selected, blobs), "prune");
    add_uses(store, report.records);
    return report;
  }
  PruneReport report;
  TRY(remove_records(store, selected, reach, stop, report), "prune");
  CRASH_POINT("cache.prune.rows_deleted");
  const auto freed = store.snapshots.erase_trash(store.writer, stop);
  if (freed) report.freed_bytes += *freed;
  if (!freed && freed.error().code != ErrorCode::cancelled) return tl::unexpected(freed.error());
  CRASH_POINT("cache.prune.erased");
  TRY(remove_pages(store, stop), "prune");
  TRY(forget_stats(store.env, store.writer, store.clock.now() - stats_kept), "prune");
  const std::vector<BlobInfo> blobs = TRY(select_blobs(store, {}), "prune");
  TRY(remove_blobs(store, blobs, stop, report), "prune");
  add_uses(store, report.records);
  return report;
}

}  // namespace cairn::cache
