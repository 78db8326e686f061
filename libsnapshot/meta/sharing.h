// SPDX-License-Identifier: Apache-2.0
// Which inodes several snapshots name, by hard links between their trees. A shared inode has a row {how many name it,
// the xor of who they are, its size}: when the second comes it is the exclusive space of the first no longer, and when
// all but one have gone the xor says whose exclusive space it is again. So exclusive space is always known, and nobody
// walks for it. What is shared by two or more is in one total, so that
//   exclusive of all snapshots + shared + exclusive of all trash = what the trees take on the disk.
#pragma once

#include <functional>
#include <span>

#include "libsnapshot/meta/rows.h"

namespace cairn::snapshot {

// An inode that a snapshot shares with `source`, which has it from before.
struct LinkedInode {
  std::uint64_t inode = 0;
  SnapshotId source;
  Usage usage;
};

// `owner`, which has no row yet or is about to write one, names these inodes. Returns the space of those that are shared
// now: it is not exclusive to `owner`. An inode whose source is gone is not shared. O(inodes). Writes rows of others, so
// it comes before the caller reads them.
// changed: told about each other snapshot whose exclusive space this changes; may be empty.
base::Result<Usage> claim_inodes(base::lmdb::WriteTxn& txn, SnapshotId owner, std::span<const LinkedInode> inodes,
                                 const ExclusiveChanged& changed);

enum class Claims { left, gone };
// Gives up at most `count_max` of what `owner`, which is in the trash, has claimed. Its files are still there: an inode
// number must not be used again while a row speaks of it.
base::Result<Claims> release_claims(base::lmdb::WriteTxn& txn, SnapshotId owner, std::size_t count_max,
                                    const ExclusiveChanged& changed);

}  // namespace cairn::snapshot
