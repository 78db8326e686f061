// SPDX-License-Identifier: Apache-2.0
// Opens the snapshotter of a store: probes the drivers by really mounting, whiting out and renaming, takes the first
// that works (or the one asked for), and erases what a dead owner left behind (I6).
#pragma once

#include <memory>
#include <string>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

struct OpenOptions {
  std::string driver;       // "": probe overlay, then native; else exactly this one. CAIRN_SNAPSHOTTER overrides "".
  unsigned chain_max = 400;  // flatten above this many layers
  const base::Clock* clock = nullptr;  // outlives the snapshotter; null: the system's
};

// root: the store's root; trees live in root/trees/<id>/. The caller holds the store's lock. Opening does no durable
// write when there is nothing to recover. One info line names the driver; falling back is one warning with the reason.
// Errors: unavailable (the driver asked for does not work here), io.
base::Result<std::unique_ptr<Snapshotter>> open(const base::HostPath& root, base::lmdb::Env& env, OpenOptions options);

}  // namespace cairn::snapshot
