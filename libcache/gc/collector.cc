// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/collector.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "libbase/log/log.h"
#include "libcache/account/account.h"
#include "libcache/blobs/compaction.h"
#include "libcache/blobs/journal.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/gc/prune.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

constexpr auto last_work_max = std::chrono::seconds(1);
constexpr std::int64_t room_bytes = 16 << 20;  // made when a write has found none
constexpr std::int64_t compaction_bytes_min = 16 << 20;  // reclaimable, and a quarter of the packs: worth moving the rest

// The rules without their bounds: what may go for `bytes` more of free space.
Policy emergency_policy(const Policy& policy, const DiskSpace& disk, std::int64_t bytes) {
  Policy wanted;
  wanted.order = policy.order;
  wanted.pins = policy.pins;
  PolicyRule rule{.name = "disk full", .floor = Space::bytes(0), .all = true};
  rule.free = Space::bytes(static_cast<std::uint64_t>(disk.free_bytes + bytes));
  // The highest floor of a rule that is about everything holds here, too.
  std::int64_t floor = 0;
  for (const PolicyRule& each : policy.rules)
    if (each.filters.empty()) floor = std::max(floor, each.effective_floor().on(disk).value_or(0));
  rule.floor = Space::bytes(static_cast<std::uint64_t>(floor));
  wanted.rules.push_back(std::move(rule));
  return wanted;
}

// Warnings, not errors: what is due stays due.
void warn(const char* doing, const Status& outcome) {
  if (!outcome && outcome.error().code != ErrorCode::cancelled) base::log_warning("{}: {}", doing, outcome.error().message);
}

}  // namespace

void Collector::start(CollectorOptions options) {
  CHECK(!running_.load(), "the collector is started twice");
  options_ = std::move(options);
  if (const auto live = live_bytes(store_.env); live) {
    live_ = *live;
    if (const auto space = disk(); space) set_alarm(*live, *space);
  }
  running_ = true;
  state_.lock()->working = true;  // it begins with what is due
  thread_ = std::jthread([this](std::stop_token stop) { run(std::move(stop)); });
}

void Collector::stop() {
  if (!running_.exchange(false)) return;
  {
    auto state = state_.lock();
    state->stopping = true;
    woken_.notify_all();
    idle_.wait_for(state.lock(), last_work_max, [&] { return !state->woken && !state->working; });
  }
  thread_.request_stop();
  woken_.notify_all();
  thread_.join();
}

void Collector::grown(std::int64_t bytes) {
  if (!running_.load()) return;
  if (live_.fetch_add(bytes) + bytes <= alarm_.load()) return;
  state_.lock()->woken = true;
  woken_.notify_all();
}

void Collector::disk_is_full() {
  if (!running_.load()) return;
  auto state = state_.lock();
  state->woken = state->full = true;
  woken_.notify_all();
}

void Collector::settle() {
  auto state = state_.lock();
  idle_.wait(state.lock(), [&] { return !running_.load() || (!state->woken && !state->working); });
}

// The lowest number of live bytes at which some rule has something to do, if nothing else changes.
void Collector::set_alarm(std::int64_t live, const DiskSpace& space) {
  std::int64_t alarm = std::numeric_limits<std::int64_t>::max();
  for (const PolicyRule& rule : options_.policy.rules) {
    if (rule.ceiling.is_given()) alarm = std::min(alarm, *rule.ceiling.on(space));
    if (rule.free.is_given()) alarm = std::min(alarm, live + std::max<std::int64_t>(0, space.free_bytes - *rule.free.on(space)));
  }
  // What was too much before and could not go is no reason to look again for every publication.
  if (alarm <= live) alarm = live + std::max<std::int64_t>(live / 64, 1 << 20);
  alarm_ = alarm;
}

Result<DiskSpace> Collector::disk() { return options_.measure_disk ? options_.measure_disk() : measure_disk(store_); }

void Collector::run(std::stop_token stop) {
  warn("keep house", keep_house(stop));
  state_.lock()->working = false;
  idle_.notify_all();
  while (!stop.stop_requested()) {
    bool full = false;
    {
      auto state = state_.lock();
      woken_.wait_for(state.lock(), stop, options_.look_interval, [&] { return state->woken || state->stopping; });
      if (stop.stop_requested() || (state->stopping && !state->woken)) return;
      state->woken = false;
      state->working = true;
      full = std::exchange(state->full, false);
    }
    if (full)
      if (const auto room = make_room(room_bytes, stop); !room) base::log_warning("{}", room.error().message);
    warn("collect", look(stop));
    warn("keep house", keep_house(stop));
    state_.lock()->working = false;
    idle_.notify_all();
  }
}

Status Collector::keep_house(std::stop_token stop) {
  if (TRY(checkpoint_is_due(store_.env))) {
    TRY(write_checkpoint(store_, stop));
    ++counts_.lock()->checkpoints;
  }
  const auto packs = TRY(store_.env.view([](base::lmdb::ReadTxn& txn) { return blob_totals(txn); }));
  const std::int64_t dead = packs.pack_reclaimable_bytes;
  if (dead < compaction_bytes_min || dead < packs.pack_bytes / 4) return {};
  TRY(compact_packs(store_, stop));
  ++counts_.lock()->compactions;
  return {};
}

Status Collector::look(std::stop_token stop) {
  ++counts_.lock()->looks;
  const std::lock_guard turn(store_.prune_turn);
  PruneReport report;
  const DiskSpace space = TRY(disk());
  TRY(collect(options_.policy, space, stop, report));
  const std::int64_t live = TRY(live_bytes(store_.env));
  live_ = live;
  set_alarm(live, {space.total_bytes, space.free_bytes + report.freed_bytes});
  return {};
}

Status Collector::collect(const Policy& policy, const DiskSpace& space, std::stop_token stop, PruneReport& report) {
  const SelectionRules rules{.policy = &policy, .disk = space, .now = store_.clock.now(), .picks_max = round_picks};
  std::uint64_t rows = 0;
  TRY(remove_in_rounds(store_, rules, stop, report, [&](std::vector<PrunedRecord> removed) {
    auto counts = counts_.lock();
    counts->rows_visited += report.rows_visited - std::exchange(rows, report.rows_visited);
    counts->records += removed.size();
    for (const PrunedRecord& record : removed) {
      counts->bytes += record.freed_bytes;
      report.freed_bytes += record.freed_bytes;
    }
    counts->collections += removed.empty() ? 0 : 1;
  }));
  TRY(remove_unnamed_blobs(store_, stop, report));
  if (report.blobs > 0) TRY(compact_packs(store_, stop));
  return remove_unused_pages(store_, stop);
}

Result<std::int64_t> Collector::make_room(std::int64_t bytes, std::stop_token stop) {
  ++counts_.lock()->emergencies;
  const std::lock_guard turn(store_.prune_turn);
  const DiskSpace space = TRY(disk());
  PruneReport report;
  TRY(collect(emergency_policy(options_.policy, space, bytes), space, stop, report), "make room");
  // The snapshotter may have begun with the files by itself, and this waits for it: what was collected is free then,
  // whoever erased it.
  const std::int64_t erased = TRY(store_.snapshots.erase_trash(store_.writer, stop), "make room");
  const auto punched = punch_packs(store_, stop);  // not every file system punches holes
  store_.reserve.fill();
  return std::max(erased, report.freed_bytes) + punched.value_or(0);
}

}  // namespace cairn::cache
