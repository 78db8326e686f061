// SPDX-License-Identifier: Apache-2.0
// The scrubber's second half: trees. The first scrub that comes to a tree seals it; every later one compares. Where the
// pages of a record are known from when its bytes came in, the first one compares, too.
#pragma once

#include <stop_token>
#include <string>

#include "libcache/blobs/scrub.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

// Goes on where the last one stopped, in the order of the records' ids. True: it has come to the end.
base::Result<bool> scrub_trees(Store& store, ScrubOptions::From from, ScrubPace& pace, ScrubReport& report);

inline const std::string tree_scrub_key = "trees";
base::Status save_tree_position(Store& store, RecordId next);

// The record, and whatever is built on it, become misses: in small transactions, the record last. Who dies over it leaves a
// record that still is what it was found to be. Returns how many became misses; 0 if it is gone.
base::Result<std::uint64_t> quarantine_record(Store& store, RecordId record, const std::string& reason);

}  // namespace cairn::cache
