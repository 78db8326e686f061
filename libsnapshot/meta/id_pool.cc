// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/id_pool.h"

#include <algorithm>
#include <utility>

#include "libbase/crash_point.h"
#include "libsnapshot/meta/rows.h"

namespace cairn::snapshot {
namespace {

using base::lmdb::Scan;

std::uint64_t block_of(SnapshotId id) { return (id.value() - 1) / ids_per_block * ids_per_block + 1; }

base::Result<std::vector<std::uint64_t>> blocks_in(base::lmdb::ReadTxn& txn) {
  std::vector<std::uint64_t> blocks;
  TRY(txn.scan(block_table, "",
               std::function<base::Result<Scan>(const SnapshotId&, const Present&)>(
                   [&](const SnapshotId& first, const Present&) -> base::Result<Scan> {
                     blocks.push_back(first.value());
                     return Scan::next;
                   })));
  return blocks;
}

}  // namespace

base::Result<std::vector<std::uint64_t>> read_blocks(base::lmdb::Env& env) {
  return env.view([](base::lmdb::ReadTxn& txn) { return blocks_in(txn); });
}

base::Status put_block_of(base::lmdb::WriteTxn& txn, SnapshotId id) {
  return txn.put(block_table, SnapshotId(block_of(id)), Present{});
}

IdPool::IdPool(base::lmdb::Env& env, std::vector<std::uint64_t> dead, std::function<base::Status()> sync_erasures)
    : env_(env), sync_erasures_(std::move(sync_erasures)) {
  state_.lock()->removable = std::move(dead);
}

SnapshotId IdPool::State::give_out() {
  const SnapshotId id(next++);
  ++outstanding[block_of(id)];
  return id;
}

std::vector<std::uint64_t> IdPool::State::take_removable() {
  // Called when the current block is used up, so every block that has nothing outstanding is done with.
  for (auto block = outstanding.begin(); block != outstanding.end();) {
    if (block->second == 0) {
      removable.push_back(block->first);
      block = outstanding.erase(block);
    } else {
      ++block;
    }
  }
  return std::exchange(removable, {});
}

base::Result<std::uint64_t> IdPool::reserve(const std::vector<std::uint64_t>& removable) {
  if (!removable.empty()) TRY(sync_erasures_(), "reserve snapshot ids");  // I6
  std::uint64_t first = 0;
  TRY(env_.update([&](base::lmdb::WriteTxn& txn) -> base::Status {
        const auto blocks = TRY(blocks_in(txn));
        first = blocks.empty() ? 1 : blocks.back() + ids_per_block;
        TRY(txn.put(block_table, SnapshotId(first), Present{}));
        for (const auto block : removable) TRY(txn.erase(block_table, SnapshotId(block)));
        return {};
      }),
      "reserve snapshot ids");
  CRASH_POINT("snapshot.ids.reserved");
  return first;
}

base::Result<SnapshotId> IdPool::next() {
  std::vector<std::uint64_t> removable;
  {
    auto state = state_.lock();
    reserved_.wait(state.lock(), [&] { return state->next < state->end || !state->reserving; });
    if (state->next < state->end) return state->give_out();
    state->reserving = true;
    removable = state->take_removable();
  }
  const auto first = reserve(removable);
  auto state = state_.lock();
  state->reserving = false;
  reserved_.notify_all();
  if (!first) {
    state->removable.insert(state->removable.end(), removable.begin(), removable.end());
    return tl::unexpected(first.error());
  }
  state->next = *first;
  state->end = *first + ids_per_block;
  return state->give_out();
}

void IdPool::adopt(SnapshotId id) {
  auto state = state_.lock();
  std::erase(state->removable, block_of(id));
  ++state->outstanding[block_of(id)];
}

void IdPool::settle(SnapshotId id) {
  auto state = state_.lock();
  const auto block = state->outstanding.find(block_of(id));
  CHECK(block != state->outstanding.end() && block->second > 0, "snapshot {} was settled twice", id);
  --block->second;
}

base::Result<std::vector<SnapshotId>> unsettled_ids(base::lmdb::ReadTxn& txn) {
  std::vector<SnapshotId> ids;
  for (const std::uint64_t first : TRY(blocks_in(txn))) {
    for (std::uint64_t value = first; value < first + ids_per_block; ++value) {
      const auto key = base::Codec<SnapshotId>::encode(SnapshotId(value));
      if (TRY(txn.get_raw(snapshot_table, key)) || TRY(txn.get_raw(trash_table, key))) continue;
      ids.emplace_back(value);
    }
  }
  return ids;
}

}  // namespace cairn::snapshot
