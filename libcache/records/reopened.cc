// SPDX-License-Identifier: Apache-2.0
// Records are reopened by a fork: what a cache mount held before stays whole until what a step made of it is published, so neither
// a crash nor a failing step costs it.
#include "libcache/records/reopened.h"

#include "libbase/crash_point.h"
#include "libcache/account/totals.h"
#include "libcache/cache.h"
#include "libcache/gc/candidates.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/ancestors.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libsnapshot/diff.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

constexpr std::size_t keys_per_change = 4096;
constexpr int replaced_max = 32;  // what was replaced and still lies below; with more of it the tree is copied

// What the first of the replaced ones was made on, and how many there are.
struct Below {
  std::optional<ImmutableRef> base;
  int replaced = 0;
};

// That a record was replaced stands in its row; who has held it since before knows it as it was.
Result<RecordInfo> written_info(Store& store, RecordId id) {
  auto row = TRY(store.keys.in_version([&](ReadTxn& txn) { return txn.get(table::records, id); }));
  return row ? to_info(id, std::move(*row)) : ancestor_info(store, id);
}

Result<Below> look_below(Store& store, const ImmutableRef& record) {
  Below below;
  RecordInfo info = record.info();
  while (!info.parents.empty()) {
    const RecordId parent = info.parents.front();
    info = TRY(written_info(store, parent));
    if (info.facts.retain != Retain::replaced) {
      below.base = TRY(find_ancestor(store, record, parent));
      break;
    }
    ++below.replaced;
  }
  return below;
}

// Ancestors of the record's own type in a row, up to as many as may be replaced: a lineage, as far as can be seen.
Result<int> look_at_lineage(Store& store, const ImmutableRef& record) {
  RecordInfo info = record.info();
  for (int length = 0;; ++length) {
    if (info.parents.empty() || length == replaced_max) return length;
    info = TRY(ancestor_info(store, info.parents.front()));
    if (info.facts.type != record.info().facts.type) return length;
  }
}

Status copy_changes(Store& store, std::optional<SnapshotId> lower, SnapshotId upper, const snapshot::MountedTree& into,
                    std::stop_token stop) {
  snapshot::ChangeOptions options;
  options.replay = snapshot::Replay::hard_links;
  options.stop = std::move(stop);
  return snapshot::apply_changes(into, [&](const snapshot::ChangeVisitor& visitor) {
    return snapshot::diff(store.snapshots, lower, upper, visitor, options, snapshot::Way::walk);
  });
}

}  // namespace

Reopened::~Reopened() {
  if (claim_ == Claim::alone) store_.holds.end_take_over(record_.id());
}

Status replace_record(WriteTxn& txn, RecordId id) {
  auto row = TRY(txn.get(table::records, id));
  if (!row) return base::fail(ErrorCode::not_found, "replace record {}: there is none", id);
  row->facts.retain = Retain::replaced;
  TRY(put_record(txn, id, *row));
  std::vector<KeyDigest> dead_keys;
  TRY(erase_results_of(txn, id, dead_keys));
  TRY(erase_dead_keys(txn, dead_keys, keys_per_change));
  // Nothing leads to it: if nothing is built on it either, it is the first to go.
  TRY(drop_candidate(txn, id));
  TRY(admit_candidate(txn, id));
  CRASH_POINT("cache.reopen.replaced");
  return {};
}

Result<MutableRef> Cache::get_mutable(RecordId id, std::stop_token stop) {
  Store& store = *state_;
  auto found = TRY(find_record(store, id), "get mutable");
  if (!found && store.holds.is_held(id)) return base::fail(ErrorCode::busy, "get mutable {}: somebody has it open", id);
  if (!found) return base::fail(ErrorCode::not_found, "get mutable {}: there is no such record", id);
  const RecordInfo& info = found->info();
  if (info.facts.retain != Retain::yes || info.kind != RecordKind::layer || found->is_lazy())
    return base::fail(ErrorCode::invalid_argument, "get mutable {}: the record is not retained", id);
  if (!store.holds.try_take_over(id)) {
    // Its own publication may hold it still, also for a moment after it is durable.
    TRY(await_outcomes(store), "get mutable {}", id);
    if (!store.holds.try_take_over(id)) return base::fail(ErrorCode::busy, "get mutable {}: it is in use", id);
  }
  auto reopened = std::make_shared<const Reopened>(store, std::move(*found), Claim::alone);
  const bool has_child = TRY(store.env.view([&](ReadTxn& txn) { return has_rows(txn, table::children, key_prefix(id)); }));
  if (has_child) return base::fail(ErrorCode::busy, "get mutable {}: others are built on it", id);
  return TRY(fork_reopened(std::move(reopened), std::move(stop)), "get mutable {}", id);
}

Result<MutableRef> Cache::reopen(ImmutableRef record, std::stop_token stop) {
  const RecordId id = record.id();
  if (record.info().kind != RecordKind::layer || record.is_lazy())
    return base::fail(ErrorCode::invalid_argument, "reopen record {}: it is a merge or diff, or its tree is not here", id);
  auto reopened = std::make_shared<const Reopened>(*state_, std::move(record), Claim::shared);
  return TRY(fork_reopened(std::move(reopened), std::move(stop)), "reopen record {}", id);
}

// A fork, or, when too many of those that were replaced lie below, a copy onto what the first of them was made on.
Result<MutableRef> Cache::fork_reopened(std::shared_ptr<const Reopened> reopened, std::stop_token stop) {
  Store& store = *state_;
  const ImmutableRef& record = reopened->record();
  Below below = TRY(look_below(store, record));
  if (below.replaced < replaced_max && TRY(look_at_lineage(store, record)) == replaced_max) {
    TRY(await_outcomes(store));  // uses in quick succession: that they have replaced each other is still on its way
    below = TRY(look_below(store, record));
  }
  if (below.replaced < replaced_max) {
    MutableRef tree = TRY(create(record));
    tree.reopened_ = std::move(reopened);
    CRASH_POINT("cache.reopen.forked");
    return tree;
  }
  std::optional<SnapshotId> lower;
  if (below.base) lower = below.base->snapshot();
  MutableRef tree = TRY(create(std::move(below.base)));
  {
    const auto mount = TRY(tree.mount(snapshot::Access::read_write));
    TRY(copy_changes(store, lower, record.snapshot(), mount, std::move(stop)), "copy its tree");
  }
  tree.reopened_ = std::move(reopened);
  CRASH_POINT("cache.reopen.copied");
  return tree;
}

}  // namespace cairn::cache
