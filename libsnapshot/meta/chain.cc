// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/chain.h"

#include <vector>

namespace cairn::snapshot {
namespace {

// About 2 MB of chains; when it is full, starting anew costs one walk per chain that is still hot.
constexpr std::size_t chains_max = 16384;

}  // namespace

std::string_view directory_name(Layer layer) { return layer == Layer::flat ? "flat" : "fs"; }

ChainPtr stack(SnapshotId id, ChainPtr below) {
  const auto depth = below ? below->depth + 1 : 1;
  return std::make_shared<const Chain>(Chain{id, Layer::changes, std::move(below), depth});
}

ChainPtr stack_all(std::span<const SnapshotId> nearest_first) {
  ChainPtr chain;
  for (auto id = nearest_first.rbegin(); id != nearest_first.rend(); ++id) chain = stack(*id, chain);
  return chain;
}

ChainPtr flat(SnapshotId id) { return std::make_shared<const Chain>(Chain{id, Layer::flat, nullptr, 1}); }

ChainPtr ChainCache::State::find(SnapshotId id) const {
  const auto found = chains.find(id);
  return found == chains.end() ? nullptr : found->second;
}

base::Result<ChainPtr> ChainCache::get(SnapshotId id) {
  // A remembered chain may be newer than the row (a flat copy that no row names yet), so it wins; but a snapshot
  // without a row is gone, whatever is remembered.
  const auto cleared = state_.lock()->cleared;
  ChainPtr known = state_.lock()->find(id);
  std::vector<SnapshotId> above;  // stacked snapshots between id and `known`, nearest first
  bool found = false;
  TRY(env_.view([&](base::lmdb::ReadTxn& txn) -> base::Status {
    SnapshotId current = id;
    auto row = TRY(txn.get(snapshot_table, id));
    found = row.has_value();
    while (found && !known) {
      if (row->flattened) {
        known = flat(current);
      } else if (!row->stacked_on.empty()) {
        known = stack(current, stack_all(row->stacked_on));
      } else if (row->shape == Shape::complete || !row->parent) {
        known = stack(current, nullptr);
      } else {
        above.push_back(current);
        const SnapshotId parent = row->parent;
        row = TRY(txn.get(snapshot_table, parent));
        if (!row) {
          return base::fail(base::ErrorCode::corrupt, "snapshot {}: its parent {} has no row", current, parent);
        }
        current = parent;
        known = state_.lock()->find(current);
      }
    }
    return {};
  }));
  if (!found) return base::fail(base::ErrorCode::not_found, "snapshot {}: there is none", id);
  for (auto next = above.rbegin(); next != above.rend(); ++next) known = stack(*next, known);
  if (state_.lock()->cleared == cleared) remember(id, known);
  return known;
}

void ChainCache::remember(SnapshotId id, ChainPtr chain) {
  auto state = state_.lock();
  if (state->chains.size() >= chains_max) state->chains.clear();
  state->chains[id] = std::move(chain);
}

void ChainCache::clear() {
  auto state = state_.lock();
  state->chains.clear();
  ++state->cleared;
}

void ChainCache::forget(SnapshotId id) { state_.lock()->chains.erase(id); }

}  // namespace cairn::snapshot
