// SPDX-License-Identifier: Apache-2.0
// Where the bytes of a store are, and whose they are (I9). Everything with a row is in a sum that is changed in the
// transaction that changes the row, so asking costs what the answer has in it, not what the store has. What has no row
// (active trees, tmp/, directories, metadata) is measured: by the owner of the store at most once a second.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::cache {

struct DiskUsage {
  std::int64_t total_bytes = 0;  // allocated bytes of everything under the root: the sum of the lines below
  std::int64_t tree_bytes = 0;   // committed trees, flat copies included
  std::int64_t active_bytes = 0; // active and frozen trees
  std::int64_t trash_bytes = 0;  // being freed
  std::int64_t blob_bytes = 0;   // blobs that are files
  std::int64_t pack_bytes = 0;   // files that hold many blobs
  std::int64_t metadata_bytes = 0;
  std::int64_t temp_bytes = 0;     // tmp/
  std::int64_t reserve_bytes = 0;  // kept for a full disk: root/reserve, and blocks behind the end of the metadata
  std::int64_t other_bytes = 0;    // lock and version files, the directories themselves
  // Not a line, but a part of pack_bytes: what no blob has, to be had back by compacting.
  std::int64_t pack_reclaimable_bytes = 0;
  std::uint64_t records = 0;
  std::uint64_t blobs = 0;

  // What ceilings and floors of a policy compare: what stays until somebody takes it. What is being built, what is being
  // freed and what a compaction gives back comes and goes by itself.
  std::int64_t live_bytes() const {
    return tree_bytes + blob_bytes + pack_bytes - pack_reclaimable_bytes + metadata_bytes;
  }
};

// Reads beside the owner of a store. Active trees are looked for among the ids that the owner has reserved, a few
// thousand at most. O(1) in records, trees and blobs; O(files) of active trees.
base::Result<DiskUsage> disk_usage(base::lmdb::Env& env, const base::HostPath& root);

enum class Dimension { type, project, build, step };
std::string_view to_string(Dimension dimension);  // the words above

// What all records of one type, or of one owner, take.
struct Share {
  std::string name;  // "" for an owner: of those for which nobody has said it
  std::uint64_t records = 0;
  std::int64_t inodes = 0;           // of their trees, exclusive ones
  std::int64_t exclusive_bytes = 0;  // trees and blobs that belong to one record each
  // Their part of what records share: all of it, split in proportion to what each share's records have in common with
  // others, and rounded so that the parts add up.
  std::int64_t shared_bytes = 0;
};
struct Breakdown {
  std::vector<Share> shares;          // by name
  // Blobs that no record names, what packs hold beside blobs, and what only trees that are being freed share.
  std::int64_t unowned_bytes = 0;
  std::int64_t total_bytes = 0;       // the sum of all of these = trees, blobs, and what is live in packs
};
// Sums over all records, by one thing that is said of each. O(shares). Errors: corrupt, io.
base::Result<Breakdown> usage_by(base::lmdb::Env& env, Dimension dimension);

}  // namespace cairn::cache
