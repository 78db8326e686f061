// SPDX-License-Identifier: Apache-2.0
// Opens the snapshotter of a store: probes the drivers by really using what they use, takes the first of overlay, btrfs,
// reflink and native that works (or the one asked for), and erases what a dead owner left behind (I6). What a probe found
// is kept in <root>/drivers, and is not tried again on the same file system and kernel with the same privileges.
//
// Any driver reads and forks what any other has made, except that only overlay can stack: for the others a tree that was
// made by overlay on a parent is unavailable. Any driver erases everything.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

struct OpenOptions {
  std::string driver;       // "": the first that works; else exactly this one. CAIRN_SNAPSHOTTER overrides "".
  unsigned chain_max = 400;  // flatten above this many layers
  unsigned squash_depth = 32;  // squash in the background above this many layers (Snapshotter::start)
  // Not before nothing of the chain has been mounted for so long, because its files can then be linked; but after so
  // long in any case, and files that a live mount could see are cloned or copied.
  std::chrono::milliseconds squash_quiet = std::chrono::seconds(1);
  std::chrono::milliseconds squash_patience = std::chrono::minutes(10);
  const base::Clock* clock = nullptr;  // outlives the snapshotter; null: the system's
};

// root: the store's root; trees live in root/trees/<id>/. The caller holds the store's lock. Opening does no durable
// write when there is nothing to recover. One info line names the driver; falling back is one warning with the reason.
// Errors: unavailable (the driver asked for does not work here), io.
base::Result<std::unique_ptr<Snapshotter>> open(const base::HostPath& root, base::lmdb::Env& env, OpenOptions options);

// For metadata that is made anew: no id up to the highest of these, or of a row, is given out again, and at open the
// trees among them that no row names are erased.
base::Status keep_ids_unused(base::lmdb::WriteTxn& txn, std::span<const SnapshotId> seen);

}  // namespace cairn::snapshot
