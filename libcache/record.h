// SPDX-License-Identifier: Apache-2.0
// What libcache knows about one tree. A record is one row; what it names (a snapshot, its parent) is complete before
// the row exists (I1, I5).
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/id.h"
#include "libcache/tree_digest.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::cache {

using RecordId = base::Id<struct RecordMeaning>;  // text form: decimal

// BuildKit's names for the kinds of record, as `du` and filters show them.
enum class RecordType : std::uint8_t { regular = 0, source_local = 1, source_image = 2, internal = 3, exec_cache_mount = 4 };
std::string_view to_string(RecordType type);  // "regular", "source.local", "source.image", "internal", "exec.cachemount"

// What the maker of a record says about it.
struct RecordFacts {
  RecordType type = RecordType::regular;
  DigestRules rules = DigestRules::scan;  // how content digests of its tree are taken
  std::string description;                // "exec cc -c a.c", "local://src", ...
  ChainId chain;                          // of an unpacked image layer; else zero
};

struct RecordInfo {
  RecordId id;
  snapshot::SnapshotId snapshot;
  std::vector<RecordId> parents;
  RecordFacts facts;
  snapshot::Usage usage;  // of its own tree, without parents
  base::WallTime created{};
  base::WallTime last_used{};
};

}  // namespace cairn::cache
