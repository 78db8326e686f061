// SPDX-License-Identifier: Apache-2.0
// Flat copies of deep chains: made when a chain grows too deep to be mounted well, by whoever needs it (prepare, beyond
// what the kernel stacks) or in the background; named by a row when they are durable. The chain stays as it is: live
// mounts use it, and each snapshot's own changes are the only source of its diff.
#include <fcntl.h>

#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;

namespace {

constexpr std::size_t rows_per_look = 4096;

bool same_layers(const Chain& a, const Chain& b) {
  const Chain* left = &a;
  const Chain* right = &b;
  while (left != right) {  // tails are shared
    if (left == nullptr || right == nullptr || left->id != right->id || left->layer != right->layer) return false;
    left = left->below.get();
    right = right->below.get();
  }
  return true;
}

}  // namespace

// A crash from here on leaves a copy that no row names; recovery looks for it where the table says.
base::Result<ChainPtr> TreeSnapshotter::flatten(SnapshotId id, const Chain& chain, Haste haste, IfMounted if_mounted,
                                                const std::stop_token& stop) {
  std::optional<std::stop_token> given_up;
  {
    std::optional<Housekeeper::Hurry> hurry;  // for the background, which may be at it
    if (haste == Haste::caller_waits) hurry.emplace(housekeeper_);
    auto live = live_.lock();
    while (!live->find_flat(id)) {
      given_up = live->begin_flatten(id, haste);
      if (given_up) break;
      flattened_.wait(live.lock());
    }
    if (!given_up) return flat(id);
  }
  // Asked to stop by the caller, or by whoever erases the tree.
  std::stop_source either;
  const std::stop_callback by_caller(stop, [&] { either.request_stop(); });
  const std::stop_callback by_eraser(*given_up, [&] { either.request_stop(); });
  const auto note = [&]() -> Status {
    const InHaste hurry;  // the writer may wait for us
    return env_.update([id](base::lmdb::WriteTxn& txn) { return txn.put(squash_table, id, Present{}); });
  };
  auto copy = note().and_then([&] {
    CRASH_POINT("snapshot.flatten.noted");
    return make_flat_copy(*driver_, trees_, mounts_, id, chain, if_mounted, either.get_token());
  });
  if (!copy) {
    const auto forgotten = forget_flattening(id);
    if (!forgotten) base::log_debug("{}; the next open looks for it", forgotten.error().message);
  }
  {
    auto live = live_.lock();
    live->end_flatten(id, copy ? std::optional<FlatCopy>(*copy) : std::nullopt);
    flattened_.notify_all();
  }
  if (!copy) return tl::unexpected(base::add_context(copy.error(), fmt::format("flatten snapshot {}", id)));
  // What is remembered of this snapshot and all above it leads through the chain.
  chains_.clear();
  return flat(id);
}

// Of a copy that did not come about nothing is left. That lasts before the note goes, for without the note nobody looks
// for what a power cut brings back.
Status TreeSnapshotter::forget_flattening(SnapshotId id) {
  const InHaste hurry;
  const base::Fd tree = TRY(trees_.open_tree(id, O_RDONLY), "forget a squash");
  TRY(base::sync_file(tree.get()), "forget the squash of snapshot {}", id);
  CRASH_POINT("snapshot.flatten.given_up");
  return env_.update([id](base::lmdb::WriteTxn& txn) { return txn.erase(squash_table, id); });
}

Status TreeSnapshotter::squash(SnapshotId id, base::lmdb::GroupWriter& writer, std::stop_token stop) {
  return squash(id, writer, Haste::caller_waits, IfMounted::copy, stop);
}

Status TreeSnapshotter::squash(SnapshotId id, base::lmdb::GroupWriter& writer, Haste haste, IfMounted if_mounted,
                               const std::stop_token& stop) {
  const auto about = TRY(stat(id), "squash");
  if (about.kind == Kind::active || about.kind == Kind::view) {
    return fail(ErrorCode::invalid_argument, "squash snapshot {}: it is neither frozen nor committed", id);
  }
  const auto chain = TRY(chain_of(id), "squash");
  if (chain->layer != Layer::flat) {
    if (!chain->below) return {};
    TRY(flatten(id, *chain, haste, if_mounted, stop), "squash");
  }
  const auto copy = live_.lock()->find_flat(id);
  if (!copy) return {};  // a row names it already
  base::lmdb::GroupWriter::Entry entry;
  entry.data = {data_token(id)};
  entry.change = [this, id](base::lmdb::WriteTxn& txn) -> Status {
    const auto made = live_.lock()->find_flat(id);
    if (!made) return {};
    TRY(name_flat(txn, id, *made));  // no row yet: publish() names it
    CRASH_POINT("snapshot.squash.named");
    return {};
  };
  TRY(writer.wait_durable(TRY(writer.enqueue(std::move(entry)))), "squash snapshot {}", id);
  chains_.clear();  // what was looked up meanwhile
  return {};
}

// A flat copy shortens all chains above it, so the lowest that is called for comes first: if each snapshot of a deep
// chain got one of its own, that would be as many copies of the tree.
SnapshotId TreeSnapshotter::lowest_deep(SnapshotId id, const Chain& chain) {
  std::vector<const Chain*> deep;
  for (const Chain* layer = &chain; layer->depth > squash_depth_; layer = layer->below.get()) deep.push_back(layer);
  for (auto layer = deep.rbegin(); layer != deep.rend(); ++layer) {
    // What a merge stacks lies on something else by itself.
    const auto own = chain_of((*layer)->id);
    if (own && same_layers(**own, **layer)) return (*layer)->id;
  }
  return id;
}

Squashed TreeSnapshotter::squash_in_background(SnapshotId id, base::lmdb::GroupWriter& writer, Patience patience,
                                               const std::stop_token& stop) {
  const auto if_mounted = patience == Patience::left ? IfMounted::give_up : IfMounted::copy;
  for (std::uint32_t depth_before = 0;;) {
    // A squash below may have made it shallow meanwhile.
    const auto chain = chain_of(id);
    if (!chain || (*chain)->depth <= squash_depth_) return Squashed::done;
    if ((*chain)->depth == depth_before) return Squashed::used_lately;  // somebody looked at the old chain meanwhile
    depth_before = (*chain)->depth;
    const auto in_use = mounts_.in_use(**chain);
    if (patience == Patience::left && in_use != InUse::no) {
      return in_use == InUse::now ? Squashed::mounted : Squashed::used_lately;
    }
    const auto squashed = squash(lowest_deep(id, **chain), writer, Haste::none, if_mounted, stop);
    if (squashed) continue;
    // Gone meanwhile, or being erased, or somebody who waits does it himself.
    const auto code = squashed.error().code;
    if (stop.stop_requested() || code == ErrorCode::not_found || code == ErrorCode::cancelled) return Squashed::done;
    if (code == ErrorCode::busy && if_mounted == IfMounted::give_up) return Squashed::mounted;
    base::log_warning("{}; its chain goes on as it is", squashed.error().message);
    return Squashed::done;
  }
}

std::vector<SnapshotId> TreeSnapshotter::find_deep(std::size_t count_max) {
  std::vector<SnapshotId> deep;
  for (SnapshotId last; deep.size() < count_max;) {
    std::size_t seen = 0;  // in this transaction: an open reader keeps old pages from being used again
    std::vector<SnapshotId> candidates;
    const auto look = [&](std::string_view key, std::string_view value) -> base::Result<Scan> {
      last = TRY(base::Codec<SnapshotId>::decode(key), "snapshot.snapshots key");
      const auto row = TRY(base::Codec<SnapshotRow>::decode(value), "snapshot.snapshots row");
      if (row.depth > squash_depth_ && !row.flattened) candidates.push_back(last);
      return ++seen < rows_per_look ? Scan::next : Scan::stop;
    };
    const auto from = base::Codec<SnapshotId>::encode(SnapshotId(last.value() + 1));
    const auto looked =
        env_.view([&](base::lmdb::ReadTxn& txn) { return txn.scan_raw(snapshot_table, {}, from, look); });
    if (!looked) base::log_warning("look for deep chains: {}", looked.error().message);
    for (const auto id : candidates) {
      const auto chain = chain_of(id);  // what lies below may have been flattened since the row was written
      if (chain && (*chain)->depth > squash_depth_ && deep.size() < count_max) deep.push_back(id);
    }
    if (!looked || seen < rows_per_look) break;
  }
  return deep;
}

void TreeSnapshotter::erase_in_background(base::lmdb::GroupWriter& writer, const std::stop_token& stop) {
  erase_doomed(stop);
  erase_taken(stop);
  // Whoever waits for an erasure takes over.
  std::stop_source yield;
  const std::stop_callback by_stop(stop, [&] { yield.request_stop(); });
  *background_erase_.lock() = yield;
  const auto erased = erase_all(writer, yield.get_token());
  *background_erase_.lock() = std::stop_source(std::nostopstate);
  if (erased || yield.stop_requested()) return;
  base::log_warning("erase what was removed: {}", erased.error().message);
}

void TreeSnapshotter::start(base::lmdb::GroupWriter& writer) {
  housekeeper_.start({.erase = [this, &writer](std::stop_token stop) { erase_in_background(writer, stop); },
                      .find_deep = [this](std::size_t count_max) { return find_deep(count_max); },
                      .squash =
                          [this, &writer](SnapshotId id, Patience patience, std::stop_token stop) {
                            return squash_in_background(id, writer, patience, stop);
                          }},
                     {.quiet = squash_quiet_, .patience = squash_patience_});
  housekeeper_.erase_soon();
}

void TreeSnapshotter::stop() {
  housekeeper_.stop();
  erase_doomed({});  // whoever abandoned them would have waited for it
  erase_taken({});
}

void TreeSnapshotter::retired(SnapshotId id) {
  chains_.forget(id);
  housekeeper_.erase_soon();
}

void TreeSnapshotter::settle() { housekeeper_.settle(); }

}  // namespace cairn::snapshot
