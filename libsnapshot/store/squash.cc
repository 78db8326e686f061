// SPDX-License-Identifier: Apache-2.0
// Flat copies of deep chains: made when a chain grows too deep to be mounted well, by whoever needs it (prepare, beyond
// what the kernel stacks) or in the background; named by a row when they are durable. The chain stays as it is: live
// mounts use it, and each snapshot's own changes are the only source of its diff.
#include "libbase/crash_point.h"
#include "libbase/log/log.h"
#include "libsnapshot/store/tree_snapshotter.h"

namespace cairn::snapshot {

using base::ErrorCode;
using base::fail;
using base::Status;

// A crash from here on leaves a copy that no row names; recovery looks for it where the table says.
base::Result<ChainPtr> TreeSnapshotter::flatten(SnapshotId id, const Chain& chain, const std::stop_token& stop) {
  std::optional<std::stop_token> given_up;
  {
    auto live = live_.lock();
    while (!live->find_flat(id)) {
      given_up = live->begin_flatten(id);
      if (given_up) break;
      flattened_.wait(live.lock());
    }
    if (!given_up) return flat(id);
  }
  // Asked to stop by the caller, or by whoever erases the tree.
  std::stop_source either;
  const std::stop_callback by_caller(stop, [&] { either.request_stop(); });
  const std::stop_callback by_eraser(*given_up, [&] { either.request_stop(); });
  auto copy = env_.update([id](base::lmdb::WriteTxn& txn) { return txn.put(squash_table, id, Present{}); })
                  .and_then([&] {
                    CRASH_POINT("snapshot.flatten.noted");
                    return make_flat_copy(*driver_, trees_, mounts_, id, chain, either.get_token());
                  });
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

Status TreeSnapshotter::squash(SnapshotId id, base::lmdb::GroupWriter& writer, std::stop_token stop) {
  const auto about = TRY(stat(id), "squash");
  if (about.kind == Kind::active || about.kind == Kind::view) {
    return fail(ErrorCode::invalid_argument, "squash snapshot {}: it is neither frozen nor committed", id);
  }
  const auto chain = TRY(chain_of(id), "squash");
  if (chain->layer != Layer::flat) {
    if (!chain->below) return {};
    TRY(flatten(id, *chain, stop), "squash");
  }
  const auto copy = live_.lock()->find_flat(id);
  if (!copy) return {};  // a row names it already
  base::lmdb::GroupWriter::Entry entry;
  entry.data = {data_token(id)};
  entry.change = [this, id](base::lmdb::WriteTxn& txn) -> Status {
    const auto durable = live_.lock()->find_flat(id);
    if (!durable || !durable->synced) return {};
    TRY(name_flat(txn, id, *durable));  // no row yet: publish() names it
    CRASH_POINT("snapshot.squash.named");
    return {};
  };
  TRY(writer.wait_durable(TRY(writer.enqueue(std::move(entry)))), "squash snapshot {}", id);
  chains_.clear();  // what was looked up meanwhile
  return {};
}

void TreeSnapshotter::start(base::lmdb::GroupWriter& writer) {
  housekeeper_.start({.erase =
                          [this, &writer](std::stop_token stop) {
                            // Whoever waits for an erasure takes over.
                            std::stop_source yield;
                            const std::stop_callback by_stop(stop, [&] { yield.request_stop(); });
                            *background_erase_.lock() = yield;
                            const auto erased = erase_all(writer, yield.get_token());
                            *background_erase_.lock() = std::stop_source(std::nostopstate);
                            if (erased || yield.stop_requested()) return;
                            base::log_warning("erase what was removed: {}", erased.error().message);
                          },
                      .squash =
                          [this, &writer](SnapshotId id, std::stop_token stop) {
                            // A squash below may have made it shallow meanwhile.
                            const auto chain = chain_of(id);
                            if (!chain || (*chain)->depth <= squash_depth_) return;
                            const auto squashed = squash(id, writer, stop);
                            if (squashed || stop.stop_requested()) return;
                            // Gone meanwhile, or being erased: nobody needs it.
                            const auto code = squashed.error().code;
                            if (code == ErrorCode::not_found || code == ErrorCode::cancelled) return;
                            base::log_warning("{}; its chain goes on as it is", squashed.error().message);
                          }});
  housekeeper_.erase_soon();
}

void TreeSnapshotter::stop() { housekeeper_.stop(); }

void TreeSnapshotter::retired(SnapshotId id) {
  chains_.forget(id);
  housekeeper_.erase_soon();
}

void TreeSnapshotter::settle() { housekeeper_.settle(); }

}  // namespace cairn::snapshot
