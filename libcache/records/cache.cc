// SPDX-License-Identifier: Apache-2.0
#include "libcache/cache.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <memory>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/log/log.h"
#include "libcache/account/account.h"
#include "libcache/account/check.h"
#include "libcache/account/scrub_totals.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/blobs/compaction.h"
#include "libcache/blobs/journal.h"
#include "libcache/blobs/namespace_rows.h"
#include "libcache/blobs/quarantine.h"
#include "libcache/blobs/repair.h"
#include "libcache/blobs/scrub.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/entries/promotion_rows.h"
#include "libcache/explain/recipe_rows.h"
#include "libcache/gc/candidates.h"
#include "libcache/gc/prune.h"
#include "libcache/gc/tombstones.h"
#include "libcache/history/history_rows.h"
#include "libcache/history/ledger_rows.h"
#include "libcache/keys/operations.h"
#include "libcache/names/tree_name_rows.h"
#include "libcache/records/batch.h"
#include "libcache/records/cache_mount_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/store.h"
#include "libcache/records/resolved_rows.h"
#include "libcache/stat_cache.h"
#include "libcache/trees/repair_trees.h"
#include "libcache/trees/seal_rows.h"
#include "libcache/trees/stat_rows.h"

namespace cairn::cache {

using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;

namespace {

constexpr std::array<const base::lmdb::RawTableSpec*, 59> all_tables = {
    &table::records,   &table::children,      &table::chains, &table::tree_digests, &table::key_results, &table::record_keys,
    &table::key_links, &table::key_backlinks, &table::blobs,  &table::record_blobs, &table::blob_records,
    &table::stats,     &table::resolved,  &table::pages,         &table::page_counts, &table::page_roots, &table::page_trash,
    &table::packs,     &table::journal,      &table::quarantine,  &table::scrub,
    &table::tree_seals, &table::damaged_records, &table::tree_scrub,
    &table::totals,    &table::leases,       &table::lease_records, &table::record_leases,
    &table::lease_blobs, &table::blob_leases, &table::lease_ends,
    &table::layers,    &table::diff_records, &table::diff_blobs,    &table::tree_owners, &table::statistics,
    &table::candidates_by_age, &table::candidates_by_cost, &table::candidate_places, &table::collector,
    &table::tombstones, &table::tombstones_by_age, &table::regret, &table::blob_chunks, &table::chunk_blobs,
    &table::operations, &table::history, &table::scrub_totals, &table::ledger, &table::ledger_totals,
    &table::recipes, &table::recipe_texts, &table::recipe_index, &table::recipe_trees, &table::cache_mounts, &table::entries,
    &table::tree_names, &table::blob_namespaces, &table::promotions,
};

Status make_dir(const HostPath& path) {
  if (::mkdir(path.c_str(), 0755) == 0 || errno == EEXIST) return {};
  return base::fail_errno(errno, "create {}", path.str());
}

// I6: what no row names was somebody's unfinished work.
Status empty_tmp(const HostPath& tmp) {
  const Fd dir = TRY(base::open_host_dir(tmp));
  const auto entries = TRY(base::list_dir(dir.get()));
  for (const base::DirEntry& entry : entries) {
    const auto name = TRY(base::TreePath::parse(entry.name));
    TRY(base::remove_all_beneath(dir.get(), name), "empty {}", tmp.str());
  }
  return {};
}

void absorb_late_facts(Store& store) {
  const auto facts = read_late_facts(store.root);
  if (!facts && facts.error().code == base::ErrorCode::not_found) return;  // most often
  ::unlink((store.root / "late").c_str());  // uses must not be counted twice; losing them is allowed
  CRASH_POINT("cache.late.taken");
  if (!facts) {
    base::log_warning("use times of the last process are lost: {}", facts.error().message);
    return;
  }
  for (const auto& [id, uses] : facts->uses) store.use_times.note(id, uses);
  for (const auto& [project, counters] : facts->counters) store.tally.add(project, counters);
}

void settle(Store& store, const std::stop_token& stop, std::chrono::milliseconds at_most) {
  if (!store.ledger.is_running()) return;
  (void)await_outcomes(store);
  store.ledger.settle(stop, at_most);
  (void)await_outcomes(store);
}

}  // namespace

std::span<const base::lmdb::RawTableSpec* const> tables() { return all_tables; }

Result<Regret> regret(base::lmdb::Env& env) { return env.view([](base::lmdb::ReadTxn& txn) { return regret_of(txn); }); }

Cache::Cache() = default;

Result<std::unique_ptr<Cache>> Cache::open(const HostPath& root, base::lmdb::Env& env, base::lmdb::GroupWriter& writer,
                                           snapshot::Snapshotter& snapshots, const base::Clock& clock,
                                           const CacheOptions& options) {
  TRY(make_dir(root / "blobs"));
  TRY(make_dir(root / "blobs/sha256"));
  TRY(make_dir(root / "tmp"));
  TRY(empty_tmp(root / "tmp"));
  std::unique_ptr<Cache> cache(new Cache());
  cache->state_ = std::make_unique<Store>(root, env, writer, snapshots, clock);
  cache->state_->recipes_max = options.recipes_max;
  if (options.chunk_bytes != 0) cache->state_->blobs.use_chunks(TRY(ChunkRule::of_average(options.chunk_bytes), "open store {}", root.str()));
  cache->state_->packs = TRY(Packs::open(root), "open store {}", root.str());
  TRY(erase_unnamed_packs(*cache->state_), "open store {}", root.str());
  env.set_journal(make_journal(cache->state_->packs));
  writer.add_data_sync(cache->state_.get(), 
                       [packs = cache->state_->packs](auto tokens, auto whole) { return packs->sync(tokens, whole); });
  absorb_late_facts(*cache->state_);
  cache->state_->reserve.fill();
  TRY(make_totals(env));
  TRY(make_operations(env));
  snapshots.on_exclusive_change(note_exclusive_change);
  return cache;
}

Cache::~Cache() {
  stop_ledger();
  state_->scrubber.stop();
  state_->collector.stop();
  // Asking for durability makes the writer commit now instead of at the end of its half second. Whoever cares about a
  // failure has waited for his number himself.
  if (state_->last_number > 0) (void)state_->writer.wait_durable(state_->last_number);
  state_->in_flight.wait_none();
  state_->env.set_journal({});
  state_->writer.remove_data_sync(state_.get());
  const std::size_t held = state_->holds.held();
  CHECK(held == 0, "{} records are still held", held);
}

Result<MutableRef> Cache::create(std::optional<ImmutableRef> parent) {
  std::optional<snapshot::SnapshotId> on;
  if (parent) on = parent->snapshot();
  const auto active = TRY(state_->snapshots.prepare(on), "create a tree");
  return MutableRef(*this, active, std::move(parent));
}

Result<std::optional<ImmutableRef>> Cache::find(RecordId id) { return find_record(*state_, id); }

Result<std::optional<ImmutableRef>> Cache::find_chain(const ChainId& chain) {
  return find_record_of_chain(*state_, chain);
}

Result<base::lmdb::SequenceNumber> Cache::publish(Publication publication) {
  Batch batch;
  TRY(check_owner(publication.owner_), "publish");
  const base::WallTime now = state_->clock.now();
  for (ImmutableRef& ref : publication.records_) {
    CHECK(state_->holds.standing_of(ref.id()) == Standing::unpublished, "record {} published twice", ref.id());
    batch.records.push_back(ref.info());
    std::chrono::nanoseconds& build_time = batch.records.back().facts.build_time;
    if (build_time.count() == 0) build_time = publication.build_time_;
    ref.hold_->build_time = build_time.count();
    if (Owner& owner = batch.records.back().facts.owner; owner == Owner{}) owner = publication.owner_;
    for (Batch::Digest& digest : state_->pending.take_digests(ref.id())) batch.digests.push_back(digest);
    for (PendingPages::SetPtr& set : state_->pages.sets_of(ref.id())) batch.pages.push_back(std::move(set));
    batch.holds.push_back(std::move(ref));
  }
  for (Publication::Result& result : publication.results_) {
    batch.results.push_back({result.key, result.ref ? result.ref->id() : RecordId(), now});
    if (result.ref) batch.holds.push_back(std::move(*result.ref));
  }
  batch.links = std::move(publication.links_);
  for (auto& [ref, blob] : publication.blobs_) {
    batch.blobs.emplace_back(ref.id(), blob);
    batch.holds.push_back(std::move(ref));
  }
  for (auto& [ref, layer] : publication.layers_) {
    batch.layers.emplace_back(ref.id(), layer);
    batch.holds.push_back(std::move(ref));
  }
  batch.reopened = std::move(publication.reopened_);
  if (state_->ledger.is_running()) batch.step = std::move(publication.step_);
  batch.results_of_step = publication.results_of_step_;
  if (state_->recipes_max > 0) batch.recipe = std::move(publication.recipe_);
  batch.recipes_max = state_->recipes_max;
  const bool empty = batch.records.empty() && batch.results.empty() && batch.links.empty() && batch.blobs.empty();
  if (empty) return base::lmdb::SequenceNumber{0};
  enqueue_use_times(*state_);
  enqueue_counters(*state_);
  return enqueue_batch(*state_, std::move(batch));
}

base::lmdb::SequenceNumber Cache::sequence_of(const ImmutableRef& ref) const {
  return state_->holds.sequence_of(ref.id());
}

base::lmdb::GroupWriter& Cache::writer() { return state_->writer; }
KeyStore& Cache::keys() { return state_->keys; }
BlobStore& Cache::blobs() { return state_->blobs; }
CacheMountNames& Cache::cache_mounts() { return state_->cache_mounts; }
std::unique_ptr<StatCache> Cache::remember_files(StatsOf of) {
  return std::make_unique<StatCache>(state_->env, &state_->writer, state_->clock, of);
}

Result<PruneReport> Cache::prune(const PruneOptions& options, std::stop_token stop) {
  // It holds what nobody else may need. What it still holds then is spared, as what a build holds is.
  settle(*state_, stop, std::chrono::seconds(3));
  const std::lock_guard turn(state_->prune_turn);
  return prune_store(*state_, options, stop);
}

Result<ScrubReport> Cache::scrub(const ScrubOptions& options, std::stop_token stop) {
  auto report = cache::scrub(*state_, options, std::move(stop));
  if (report) state_->scrub_tally.add(*state_, *report);
  return report;
}

void Cache::start_scrubber(const BackgroundScrub& options) {
  state_->scrubber.start(options, [this](const ScrubOptions& scrub_options, std::stop_token stop) { return scrub(scrub_options, std::move(stop)); });
}
void Cache::stop_scrubber() { state_->scrubber.stop(); }
void Cache::settle_scrubber() { state_->scrubber.settle(); }

Result<BlobRepair> Cache::repair_blobs(std::stop_token stop) { return cache::repair_blobs(*state_, std::move(stop)); }

Result<TreeRepair> Cache::repair_trees(std::stop_token stop) { return cache::repair_trees(*state_, std::move(stop)); }

Result<std::uint64_t> Cache::damaged_records() {
  return state_->env.view([](base::lmdb::ReadTxn& txn) { return txn.count(table::damaged_records); });
}

Result<std::uint64_t> Cache::quarantined() {
  return state_->env.view([](base::lmdb::ReadTxn& txn) { return txn.count(table::quarantine); });
}

Status Cache::checkpoint(std::stop_token stop) { return write_checkpoint(*state_, std::move(stop)); }

Result<bool> Cache::checkpoint_if_due(std::stop_token stop) {
  if (!TRY(checkpoint_is_due(state_->env))) return false;
  TRY(write_checkpoint(*state_, std::move(stop)));
  return true;
}

Result<std::int64_t> Cache::compact_packs(std::stop_token stop) {
  return TRY(cache::compact_packs(*state_, std::move(stop))).freed_bytes;
}

Result<std::int64_t> Cache::punch_packs(std::stop_token stop) { return cache::punch_packs(*state_, std::move(stop)); }

void Cache::start_collector(CollectorOptions options) { state_->collector.start(std::move(options)); }
void Cache::stop_collector() {
  if (state_->collector.is_running()) (void)await_outcomes(*state_);  // a publication wakes it when its outcome is known
  state_->collector.stop();
}
void Cache::settle_collector() {
  (void)await_outcomes(*state_);
  state_->collector.settle();
}

void Cache::start_ledger(const LedgerOptions& options) { state_->ledger.start(options); }
void Cache::stop_ledger() {
  if (state_->ledger.is_running()) (void)await_outcomes(*state_);  // it hears of a publication when its outcome is known
  state_->ledger.stop();
}
void Cache::settle_ledger(std::stop_token stop) { settle(*state_, stop, std::chrono::hours(24)); }

Result<std::int64_t> Cache::make_room(std::int64_t bytes, std::stop_token stop) {
  if (!state_->collector.is_running()) return std::int64_t{0};
  (void)await_outcomes(*state_);  // what they hold goes with them
  return state_->collector.make_room(bytes, std::move(stop));
}

Result<std::optional<Tombstone>> Cache::find_tombstone(const KeyDigest& key) {
  return state_->keys.in_version([&](base::lmdb::ReadTxn& txn) { return txn.get(table::tombstones, key); });
}

Result<Regret> Cache::regret() { return cache::regret(state_->env); }

Status Cache::each_record(const std::function<Status(const RecordInfo&)>& visit) {
  return cache::each_record(state_->env, state_->root, [&](const RecordInfo& row) {
    RecordInfo info = row;
    add_memory(*state_, info);
    return visit(info);
  });
}

Result<DiskUsage> Cache::disk_usage() { return owner_disk_usage(*state_); }

Result<std::vector<Finding>> Cache::check() {
  return check_store(state_->env, state_->root, state_->snapshots.unpublished());
}

void Cache::save_late_facts() {
  // What was taken to be written is in a group by now. Once its outcome is known it is either in the rows or waits again:
  // saved before, it would count twice.
  if (state_->use_times.is_on_the_way() || state_->tally.is_on_the_way()) (void)await_outcomes(*state_);
  const HostPath path = state_->root / "late";
  const LateFacts facts{state_->use_times.unwritten(), state_->tally.unwritten()};
  if (facts == LateFacts{}) {
    ::unlink(path.c_str());
    return;
  }
  const Status written = base::write_file_atomic(path, encode_late_facts(facts), base::Durable::no);
  CRASH_POINT("cache.late.saved");
  if (!written) base::log_warning("use times are not saved: {}", written.error().message);
}

Cache::Counts Cache::counts() const {
  return {state_->trees_mounted.load(), state_->tree_bytes_read.load(), *state_->digest_counts.lock(),
          state_->layers_unpacked.load(), state_->layers_written.load(), state_->layers_converted.load(),
          state_->collector.counts(), state_->dropped_writes.load()};
}

}  // namespace cairn::cache
