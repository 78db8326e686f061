// SPDX-License-Identifier: Apache-2.0
// Makes the flat copy of a chain and proves that it is one. The chain's own merged view says what there is; the layers
// are looked into only to find the file behind a name, so that it can be linked instead of copied.
#pragma once

#include <stop_token>
#include <vector>

#include "libsnapshot/drivers/driver.h"
#include "libsnapshot/meta/sharing.h"
#include "libsnapshot/store/live_mounts.h"

namespace cairn::snapshot {

struct FlatCopy {
  Usage usage;                       // of the whole copy
  Usage fresh;                       // of it, what no other tree has
  std::vector<LinkedInode> links;    // what it shares with other snapshots
  std::uint64_t copied = 0;          // files that were not linked
  bool synced = false;
};

// What to do with a file that cannot be linked to because a live mount could see it.
enum class IfMounted { copy, give_up };

// Fills trees/<id>/flat with what a mount of `chain`, id's own, shows; what was there is replaced. It appears by a
// rename, so it is whole, but not durable yet. Errors: corrupt (it is not equal to the chain), busy (IfMounted::give_up),
// cancelled, no_space, io; nothing is left behind then.
base::Result<FlatCopy> make_flat_copy(const Driver& driver, const TreeDirs& trees, LiveMounts& mounts, SnapshotId id,
                                      const Chain& chain, IfMounted if_mounted, const std::stop_token& stop);

}  // namespace cairn::snapshot
