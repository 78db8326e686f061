// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/prune.h"

#include <sys/vfs.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <set>
#include <span>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/gc/select_blobs.h"
#include "libcache/gc/tombstones.h"
#include "libcache/keys/key_rows.h"
#include "libcache/pages/page_rows.h"
#include "libcache/records/batch.h"
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
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t records_per_change = 512;  // about 20 ms of the writer, and one sync
constexpr std::uint64_t rows_per_pick_max = 4;
constexpr std::size_t round_picks_max = 64 * 1024;
constexpr std::size_t keys_per_change = 4096;
constexpr std::size_t pages_per_change = 4096;
constexpr std::size_t moves_per_change = 4096;
constexpr std::size_t chunks_per_change = 16 * 1024;  // and those of one blob more
constexpr std::chrono::hours stats_kept{24 * 30};

// One transaction's worth of deletion. Owned by its change, which may run twice: what it finds out it starts anew.
struct Step {
  std::vector<Pick> candidates;
  std::vector<std::string> rules;  // titles, for tombstones
  Reach reach = Reach::unkeyed_only;
  base::WallTime now{};
  std::vector<KeyDigest> keys_before;  // dead keys that an earlier step has not come to

  std::vector<PrunedRecord> removed;
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
  Erasure erasure;
  erasure.dead_keys = step.keys_before;
  for (const Pick& pick : step.candidates) {
    const RecordId id = pick.record.id;
    auto info = TRY(still_removable(txn, id, step.reach, store.clock.now()));
    if (!info || !store.holds.try_mark_dying(id)) continue;
    step.marked.insert(id);
    const Tombstone tombstone{step.now, step.rules[pick.rule], info->facts.build_time};
    TRY(bury_keys_of(txn, id, tombstone));
    TRY(erase_record(txn, store.snapshots, *info, erasure), "prune record {}", id);
    step.removed.push_back({std::move(*info), pick.rule, pick.frees_bytes});
  }
  TRY(finish_erasure(txn, erasure));
  step.keys_after = std::move(erasure.dead_keys);
  return erase_dead_keys(txn, step.keys_after, keys_per_change);
}

// Ids stay dying until no lookup is left that could still read their rows in an old version.
void release_marks(Store& store, const Step& step, const Status& outcome) {
  std::vector<RecordId> gone, spared;
  std::set<RecordId> removed;
  for (const PrunedRecord& record : step.removed) removed.insert(record.id);
  for (const RecordId id : step.marked) (outcome && removed.contains(id) ? gone : spared).push_back(id);
  store.holds.unmark_dying(spared);
  if (gone.empty()) return;
  for (const PrunedRecord& record : step.removed)
    if (record.snapshot) store.snapshots.retired(record.snapshot);
  store.readers.after_current([&store, gone = std::move(gone)] { store.holds.unmark_dying(gone); });
}

Status commit_change(Store& store, base::lmdb::GroupWriter::Change change) {
  base::lmdb::GroupWriter::Entry entry;
  entry.change = std::move(change);
  const auto number = TRY(enqueue(store, std::move(entry)));
  return store.writer.wait_durable(number);
}

// What was passed over gets the places that it is worth now.
Status move_candidates(Store& store, const PrunePlan& selection) {
  for (std::size_t from = 0; from < selection.moves.size(); from += moves_per_change) {
    const std::size_t to = std::min(selection.moves.size(), from + moves_per_change);
    std::vector<std::pair<RecordId, PlacesRow>> moves(selection.moves.begin() + static_cast<std::ptrdiff_t>(from),
                                                      selection.moves.begin() + static_cast<std::ptrdiff_t>(to));
    TRY(commit_change(store, [moves = std::move(moves)](WriteTxn& txn) -> Status {
      for (const auto& [id, places] : moves) TRY(move_candidate(txn, id, places));
      return {};
    }));
    CRASH_POINT("cache.prune.candidates_moved");
  }
  return {};
}

// A store that is older than the tables of candidates gets them now.
Status need_candidates(Store& store) {
  const bool kept = TRY(store.env.view([](ReadTxn& txn) { return has_candidates(txn); }));
  if (kept) return {};
  return commit_change(store, [](WriteTxn& txn) { return rebuild_candidates(txn); });
}

Result<PruneReport> rehearse(Store& store, PrunePlan selection) {
  PruneReport report;
  std::vector<RecordId> gone;
  for (Pick& pick : selection.picks) {
    report.freed_bytes += pick.record.space.exclusive_bytes;
    gone.push_back(pick.record.id);
    report.records.push_back({std::move(pick.record), pick.rule, pick.frees_bytes});
  }
  report.passed = selection.passed;
  report.rows_visited = selection.rows_visited;
  report.freed_bytes += TRY(store.env.view([](ReadTxn& txn) { return snapshot::tree_totals(txn); })).trash.bytes;
  for (const SelectedBlob& blob : TRY(select_blobs(store, gone))) {
    ++report.blobs;
    report.freed_bytes += blob.info.allocated_bytes;
  }
  return report;
}

// The rule that stands for a prune without a policy.
Policy plain_policy() {
  Policy policy;
  policy.order = PolicyOrder::cost;
  policy.rules.push_back(PolicyRule{.name = "prune", .all = true});
  return policy;
}

// Takes what was selected out of the store, in small transactions. Their files are in the trash afterwards, and the
// snapshotter is told. Stopping leaves the rest.
Status remove_records(Store& store, const Policy& policy, PrunePlan selection, Reach reach, std::stop_token stop,
                      std::vector<PrunedRecord>& removed) {
  std::vector<std::string> rules;
  for (std::size_t i = 0; i < policy.rules.size(); ++i) rules.push_back(rule_title(policy, i));
  std::span<const Pick> left(selection.picks);
  std::vector<KeyDigest> dead_keys;
  std::size_t step_max = records_per_change;
  while ((!left.empty() && !stop.stop_requested()) || !dead_keys.empty()) {
    const std::size_t count = stop.stop_requested() ? 0 : std::min(left.size(), step_max);
    const auto step = std::make_shared<Step>();
    step->candidates.assign(left.begin(), left.begin() + static_cast<std::ptrdiff_t>(count));
    step->rules = rules;
    step->reach = reach;
    step->now = store.clock.now();
    step->keys_before = dead_keys;
    const Status outcome = commit_change(store, [&store, step](WriteTxn& txn) { return run_step(txn, store, *step); });
    release_marks(store, *step, outcome);
    // On a full disk a smaller step may find room, in what the metadata keep for it and in the reserve.
    if (!outcome && outcome.error().code == ErrorCode::no_space && step_max > 1) {
      (void)store.reserve.release();
      step_max = std::max<std::size_t>(1, step_max / 16);
      continue;
    }
    TRY(Status(outcome));
    dead_keys = step->keys_after;
    left = left.subspan(count);
    std::move(step->removed.begin(), step->removed.end(), std::back_inserter(removed));
  }
  CRASH_POINT("cache.prune.rows_deleted");
  const Status moved = move_candidates(store, selection);
  return moved || moved.error().code != ErrorCode::no_space ? moved : Status();  // a place that is off costs a look
}

}  // namespace

Status remove_in_rounds(Store& store, SelectionRules rules, std::stop_token stop, PruneReport& report,
                        const RoundDone& round_done) {
  Orphans orphans;
  for (bool more = true; more && !stop.stop_requested();) {
    rules.orphans = &orphans;
    auto selected = select_records(store, rules, stop);
    if (!selected && selected.error().code == ErrorCode::cancelled && report.rounds > 0) break;
    PrunePlan selection = TRY(std::move(selected));
    const std::size_t chosen = selection.picks.size();
    more = chosen == rules.picks_max;
    report.passed = selection.passed;
    report.rows_visited += selection.rows_visited;
    ++report.rounds;
    report.chosen_max = std::max<std::uint64_t>(report.chosen_max, chosen);
    // Each round begins at the head of the line. Where many stay who stand there, larger rounds look at them less
    // often.
    if (selection.rows_visited > rows_per_pick_max * chosen)
      rules.picks_max = std::min(rules.picks_max * 2, round_picks_max);
    Orphans next = std::move(selection.orphans);
    std::vector<PrunedRecord> removed;
    TRY(remove_records(store, *rules.policy, std::move(selection), rules.reach, stop, removed));
    for (const PrunedRecord& record : removed) rules.disk.free_bytes += record.freed_bytes;
    orphans = std::move(next);
    more = more && !removed.empty();
    CRASH_POINT("cache.prune.round_done");
    round_done(std::move(removed));
  }
  return {};
}

Status remove_unnamed_blobs(Store& store, std::stop_token stop, PruneReport& report) {
  const auto unnamed = TRY(store.env.view([](ReadTxn& txn) { return total_of(txn, line_total(line::blobs_unnamed)); }));
  if (unnamed.count == 0) return {};
  const std::vector<SelectedBlob> selected = TRY(select_blobs(store, {}));
  for (std::size_t at = 0; at < selected.size() && !stop.stop_requested();) {
    std::vector<BlobInfo> piece;
    for (std::size_t rows = 0; at < selected.size() && piece.size() < records_per_change && rows < chunks_per_change;
         ++at) {
      piece.push_back(selected[at].info);
      rows += selected[at].rows;
    }
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
Status remove_unused_pages(Store& store, std::stop_token stop) {
  const auto more = std::make_shared<bool>(true);
  *more = TRY(store.env.view([](ReadTxn& txn) { return txn.count(table::page_trash); })) > 0;
  while (*more && !stop.stop_requested()) {
    TRY(commit_change(store, [more](WriteTxn& txn) -> Status {
      *more = TRY(erase_page_trash(txn, pages_per_change));
      return {};
    }));
    CRASH_POINT("cache.prune.pages_erased");
  }
  return {};
}

Result<DiskSpace> measure_disk(Store& store) { return measure_disk(store.env, store.root); }

Result<DiskSpace> measure_disk(base::lmdb::Env& env, const base::HostPath& root) {
  struct ::statfs facts {};
  if (::statfs(root.c_str(), &facts) != 0) return base::fail_errno(errno, "measure the disk of {}", root.str());
  const auto trees = TRY(env.view([](ReadTxn& txn) { return snapshot::tree_totals(txn); }));
  const auto block = static_cast<std::int64_t>(facts.f_frsize > 0 ? facts.f_frsize : facts.f_bsize);
  return DiskSpace{.total_bytes = static_cast<std::int64_t>(facts.f_blocks) * block,
                   .free_bytes = static_cast<std::int64_t>(facts.f_bavail) * block + trees.trash.bytes};
}

Result<PruneReport> prune_store(Store& store, const PruneOptions& options, std::stop_token stop) {
  if (stop.stop_requested()) return base::fail(ErrorCode::cancelled, "prune");
  const Policy policy = options.policy.value_or(plain_policy());
  // Whoever waited for his publication and then prunes means what he published, too. What did not fit holds nothing.
  const Status settled = await_outcomes(store);
  if (!settled && settled.error().code != ErrorCode::no_space)
    return tl::unexpected(base::add_context(settled.error(), "prune"));
  TRY(need_candidates(store), "prune");
  if (!options.dry_run) {
    const Status swept = sweep_leases(store, stop);
    if (!swept && swept.error().code != ErrorCode::no_space) return tl::unexpected(swept.error());
  }
  SelectionRules rules{.policy = &policy, .now = store.clock.now()};
  rules.reach = options.policy || options.all ? Reach::everything : Reach::unkeyed_only;
  rules.disk = options.disk ? *options.disk : TRY(measure_disk(store), "prune");
  if (options.dry_run) return rehearse(store, TRY(select_records(store, rules, stop), "prune"));
  rules.picks_max = round_picks;
  PruneReport report;
  const auto round_done = [&](std::vector<PrunedRecord> removed) {
    for (PrunedRecord& record : removed) {
      add_memory(store, record);
      if (options.removed)
        options.removed(std::move(record));
      else
        report.records.push_back(std::move(record));
    }
  };
  TRY(remove_in_rounds(store, rules, stop, report, round_done), "prune");
  const auto freed = store.snapshots.erase_trash(store.writer, stop);
  if (freed) report.freed_bytes += *freed;
  if (!freed && freed.error().code != ErrorCode::cancelled) return tl::unexpected(freed.error());
  CRASH_POINT("cache.prune.erased");
  TRY(remove_unused_pages(store, stop), "prune");
  TRY(forget_stats(store.env, store.writer, store.clock.now() - stats_kept), "prune");
  TRY(remove_unnamed_blobs(store, stop, report), "prune");
  store.reserve.fill();
  return report;
}

}  // namespace cairn::cache
