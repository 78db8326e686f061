// SPDX-License-Identifier: Apache-2.0
// What is told about snapshots, and the labels, the one thing about a committed snapshot that changes.
#include <algorithm>
#include <chrono>
#include <unordered_set>

#include "libsnapshot/meta/filter.h"
#include "libsnapshot/meta/totals.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;

constexpr std::size_t rows_per_view = 1024;

Kind kind_of(Phase phase) {
  switch (phase) {
    case Phase::view: return Kind::view;
    case Phase::frozen: return Kind::frozen;
    default: return Kind::active;
  }
}

base::Result<std::vector<SnapshotInfo>> read_rows(base::lmdb::Env& env, SnapshotId after) {
  return env.view([&](base::lmdb::ReadTxn& txn) -> base::Result<std::vector<SnapshotInfo>> {
    std::vector<SnapshotInfo> rows;
    const auto from = base::Codec<SnapshotId>::encode(SnapshotId(after.value() + 1));
    TRY(txn.scan_raw(snapshot_table, {}, from, [&](std::string_view key, std::string_view value) -> base::Result<Scan> {
      const auto id = TRY(base::Codec<SnapshotId>::decode(key), "snapshot.snapshots key");
      rows.push_back(info_of(id, TRY(base::Codec<SnapshotRow>::decode(value), "snapshot {}", id)));
      return rows.size() < rows_per_view ? Scan::next : Scan::stop;
    }));
    return rows;
  });
}

}  // namespace

SnapshotInfo TreeSnapshotter::info_of_live(SnapshotId id, const LiveSnapshot& live) const {
  Usage exclusive = live.measure.usage;
  for (const auto& linked : live.linked) exclusive -= linked.usage;
  return SnapshotInfo{.id = id,
                      .parent = live.parent,
                      .kind = kind_of(live.phase),
                      .usage = live.measure.usage,
                      .flat = {},
                      .exclusive = exclusive,
                      .depth = live.chain->depth,
                      .flattened = false,
                      .marks = live.measure.marks,
                      .stacked_on = live.stacked_on,
                      .labels = live.labels,
                      .created = live.created,
                      .updated = live.updated};
}

base::Result<SnapshotInfo> TreeSnapshotter::stat(SnapshotId id) {
  const auto [live, copy] = [&] {
    auto set = live_.lock();
    return std::pair(set->find(id), set->find_flat(id));
  }();
  SnapshotInfo about;
  if (live && visible(live->phase)) {
    about = info_of_live(id, *live);
  } else {
    const auto row = TRY(env_.view([&](base::lmdb::ReadTxn& txn) { return find_snapshot(txn, id); }));
    if (!row) return fail(ErrorCode::not_found, "snapshot {}: there is none", id);
    about = *row;
  }
  if (copy && !about.flattened) {
    about.flattened = true;
    about.depth = 1;
    about.flat = copy->usage;
    about.exclusive += copy->fresh;
  }
  return about;
}

base::Result<Usage> TreeSnapshotter::usage(SnapshotId id) {
  const auto about = TRY(stat(id), "usage");
  if (about.kind != Kind::active) return about.usage;
  return TRY(driver_->measure(trees_, id), "usage").usage;
}

Status TreeSnapshotter::walk(std::span<const std::string> filters,
                             const std::function<base::Result<Scan>(const SnapshotInfo&)>& visit) {
  std::vector<Filter> parsed;
  for (const auto& filter : filters) parsed.push_back(TRY(Filter::parse(filter)));
  const auto matches = [&](const SnapshotInfo& info) {
    if (parsed.empty()) return true;
    return std::any_of(parsed.begin(), parsed.end(), [&](const Filter& filter) { return filter.matches(info); });
  };
  // Live ones first: what is published meanwhile is then met twice and reported once.
  const auto live = live_.lock()->everything_visible();
  std::unordered_set<SnapshotId> seen;
  for (const auto& [id, snapshot] : live) {
    seen.insert(id);
    const auto info = info_of_live(id, snapshot);
    if (matches(info) && TRY(visit(info)) == Scan::stop) return {};
  }
  SnapshotId last;
  while (true) {
    // No transaction is open while the visitor runs: it may take its time, and may begin its own.
    const auto rows = TRY(read_rows(env_, last));
    for (const auto& info : rows) {
      if (!seen.contains(info.id) && matches(info) && TRY(visit(info)) == Scan::stop) return {};
    }
    if (rows.size() < rows_per_view) return {};
    last = rows.back().id;
  }
}

base::Result<SnapshotInfo> TreeSnapshotter::update(SnapshotId id, const Labels& labels,
                                                   std::span<const std::string> fields,
                                                   base::lmdb::GroupWriter& writer) {
  // Wrong fields and bounds are found before anything is queued.
  const auto before = TRY(stat(id), "update labels");
  TRY(check_labels(labels), "update labels of snapshot {}", id);
  const auto becomes = TRY(edit_labels(before.labels, labels, fields), "update labels of snapshot {}", id);
  const auto now = clock_.now();
  const auto later_than = [now](base::WallTime old) { return std::max(now, old + std::chrono::nanoseconds(1)); };
  if (before.kind == Kind::active || before.kind == Kind::view) {
    if (live_.lock()->set_labels(id, becomes, later_than(before.updated))) return stat(id);
    return fail(ErrorCode::not_found, "update labels of snapshot {}: there is none", id);
  }
  // In the order of the queue: a publication before this one has written the row, one behind it takes the new labels.
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [this, id, labels, later_than,
                  fields = std::vector<std::string>(fields.begin(), fields.end())](base::lmdb::WriteTxn& txn) -> Status {
    auto row = TRY(txn.get(snapshot_table, id));
    const auto live = live_.lock()->find(id);
    if (live) {
      const auto edited = TRY(edit_labels(live->labels, labels, fields));
      live_.lock()->set_labels(id, edited, later_than(live->updated));
    }
    if (!row && !live) return fail(ErrorCode::not_found, "update labels of snapshot {}: there is none", id);
    if (!row) return {};
    row->labels = TRY(edit_labels(row->labels, labels, fields));
    row->updated = later_than(row->updated);
    return put_snapshot(txn, id, *row);
  };
  TRY(writer.wait_durable(TRY(writer.enqueue(std::move(entry)))));
  return stat(id);
}

base::Result<SnapshotId> TreeSnapshotter::reserve_id() {
  const auto id = TRY(ids_.next());
  ids_.settle(id);  // nothing of it will be on the disk
  return id;
}

}  // namespace cairn::snapshot
