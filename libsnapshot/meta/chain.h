// SPDX-License-Identifier: Apache-2.0
// The directories that a mount of a snapshot stacks, nearest first. A chain is immutable and shares its tail with the
// chain of its parent, so extending one is O(1) however deep it is.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <unordered_map>

#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libsnapshot/meta/rows.h"

namespace cairn::snapshot {

enum class Layer { changes, flat };  // trees/<id>/fs or trees/<id>/flat
std::string_view directory_name(Layer layer);

struct Chain {
  SnapshotId id;
  Layer layer = Layer::changes;
  std::shared_ptr<const Chain> below;  // null: this is the lowest
  std::uint32_t depth = 1;
};
using ChainPtr = std::shared_ptr<const Chain>;

// id's own changes on top of below (null: nothing).
ChainPtr stack(SnapshotId id, ChainPtr below);
// The own changes of each of these, whatever they were made on: what a merge lies on. Null if there are none.
ChainPtr stack_all(std::span<const SnapshotId> nearest_first);
// The flat copy of id.
ChainPtr flat(SnapshotId id);

// Chains of committed snapshots, read from their rows and remembered. Thread-safe.
class ChainCache {
 public:
  explicit ChainCache(base::lmdb::Env& env) : env_(env) {}

  // The chain of a committed snapshot. One read transaction, and one row if the chain is remembered; else as many rows
  // as the chain has down to a merge or a complete tree. Errors: not_found (no committed row), corrupt.
  base::Result<ChainPtr> get(SnapshotId id);
  void remember(SnapshotId id, ChainPtr chain);
  void forget(SnapshotId id);
  void clear();  // also of what a get() that runs now has read

 private:
  struct State {
    std::unordered_map<SnapshotId, ChainPtr> chains;
    std::uint64_t cleared = 0;  // times
    ChainPtr find(SnapshotId id) const;
  };
  base::lmdb::Env& env_;
  base::Guarded<State> state_;
};

}  // namespace cairn::snapshot
