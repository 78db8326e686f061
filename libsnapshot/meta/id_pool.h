// SPDX-License-Identifier: Apache-2.0
// Gives out snapshot ids from durably reserved blocks, so that an id is never used twice, whatever happens. A block's
// row stays until each of its ids is *settled* (published, or gone from the disk); what is in the table at open is
// therefore exactly where a dead owner may have left trees that no row names (I6).
#pragma once

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <span>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

inline constexpr std::uint64_t ids_per_block = 1024;

// The first ids of the blocks in the table, in order.
base::Result<std::vector<std::uint64_t>> read_blocks(base::lmdb::Env& env);

// The row of the block that the id is in.
base::Status put_block_of(base::lmdb::WriteTxn& txn, SnapshotId id);

// Thread-safe.
class IdPool {
 public:
  // dead: blocks of earlier owners, already cleaned up; their rows go with the next reservation. sync_erasures makes it
  // durable that trees are gone; called before a reservation that removes rows of blocks, for once a block's row is gone
  // nobody looks for what a power cut brings back.
  IdPool(base::lmdb::Env& env, std::vector<std::uint64_t> dead, std::function<base::Status()> sync_erasures);

  // An id that was never given out before. One durable transaction per 1,024 of them.
  base::Result<SnapshotId> next();
  // An id that an earlier owner was given and that is not settled: its block stays.
  void adopt(SnapshotId id);
  // Nothing of this id can be left over any more.
  void settle(SnapshotId id);

 private:
  struct State {
    std::uint64_t next = 0, end = 0;                      // what is left of the current block
    std::map<std::uint64_t, std::uint64_t> outstanding;   // first id of a block of ours → ids given out, not settled
    std::vector<std::uint64_t> removable;                 // blocks whose rows may go
    bool reserving = false;

    SnapshotId give_out();
    std::vector<std::uint64_t> take_removable();
  };
  base::Result<std::uint64_t> reserve(const std::vector<std::uint64_t>& removable);

  base::lmdb::Env& env_;
  std::function<base::Status()> sync_erasures_;
  base::Guarded<State> state_;
  std::condition_variable_any reserved_;
};

}  // namespace cairn::snapshot
