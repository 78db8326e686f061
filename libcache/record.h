// SPDX-License-Identifier: Apache-2.0
// What libcache knows about one tree. A record is one row; what it names (a snapshot, its parent) is complete before
// the row exists (I1, I5).
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/id.h"
#include "libbase/result.h"
#include "libcache/tree_digest.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

using RecordId = base::Id<struct RecordMeaning>;  // text form: decimal

// BuildKit's names for the kinds of record, as `du` and filters show them.
enum class RecordType : std::uint8_t {
  regular = 0,
  source_local = 1,
  source_image = 2,
  internal = 3,
  exec_cache_mount = 4,
  frontend = 5,
  source_git_checkout = 6,
};
// "regular", "source.local", "source.image", "internal", "exec.cachemount", "frontend", "source.git.checkout"
std::string_view to_string(RecordType type);

// Whose a record is: labels that mean something to whoever runs builds, for `du` and for quotas. Empty: not said.
struct Owner {
  std::string project{};
  std::string build{};
  std::string step{};
  bool operator==(const Owner&) const = default;
};
inline constexpr std::size_t owner_label_bytes_max = 256;
base::Status check_owner(const Owner& owner);  // invalid_argument, naming the label that is too long

// replaced: it was retained, and what was made of it has taken its place.
enum class Retain : std::uint8_t { no = 0, yes = 1, replaced = 2 };

// What the maker of a record says about it.
struct RecordFacts {
  RecordType type = RecordType::regular;
  DigestRules rules = DigestRules::scan;  // how content digests of its tree are taken
  std::string description{};              // "exec cc -c a.c", "local://src", ...
  ChainId chain{};                        // of an unpacked image layer; else zero
  Owner owner{};
  std::chrono::nanoseconds build_time{0};  // what making it took, so what losing it costs; 0: not known
  // Its tree may be opened for writing again (Cache::get_mutable): a cache mount, a synced source.
  Retain retain = Retain::no;
};

// What a record takes on the disk, as true as the rows are. Its parents' space is theirs.
struct RecordSpace {
  std::int64_t exclusive_bytes = 0;       // of its tree, flat copy included: what erasing it frees
  std::int64_t exclusive_inodes = 0;
  std::int64_t shared_bytes = 0;          // of its tree: other snapshots name the same inodes
  std::int64_t blob_exclusive_bytes = 0;  // of blobs that no other record names
  std::int64_t blob_shared_bytes = 0;
  bool operator==(const RecordSpace&) const = default;
};

// What a record's tree is to its parents (spec/storage 1.1).
enum class RecordKind : std::uint8_t {
  layer = 0,           // changes on top of its parent, or a whole tree without one
  merge = 1,           // all parents, one over the other
  diff = 2,            // what makes the second parent out of the first
  diff_from_none = 3,  // what makes its parent out of nothing
  diff_to_none = 4,    // what makes nothing out of its parent
};
std::string_view to_string(RecordKind kind);  // "layer", "merge", "diff", "diff", "diff"

struct RecordInfo {
  RecordId id;
  snapshot::SnapshotId snapshot;  // 0: it is lazy, its tree is not here
  std::vector<RecordId> parents;
  RecordFacts facts;
  snapshot::Usage usage;  // of its own tree, without parents
  base::WallTime created{};
  base::WallTime last_used{};
  std::uint64_t use_count = 0;  // lookups that hit it
  RecordKind kind = RecordKind::layer;
  RecordSpace space;            // as far as the row says; zero before it is published
};

}  // namespace cairn::cache
