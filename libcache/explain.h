// SPDX-License-Identifier: Apache-2.0
// Why a step had to run: the answer to "why was this not cached?". Its recipe is compared with that of the nearest earlier record,
// and the first part of the key that differs is named; if that is an input, the way goes down to the input that is to blame, and if
// it is the content of a source, to the paths in it. Nothing but LMDB is read: no file of a tree is opened.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/result.h"
#include "libcache/record.h"
#include "libcache/tree_difference.h"

namespace cairn::cache {

struct Reason {
  // never_seen: there is no earlier record of such a step. evicted: it had been made, and was taken. field: a part of what the
  // operation is. inputs: which steps they are. content: what a source holds, or what is selected of an input. asked: it was to
  // run whatever is stored. again: all is as it was. unknown: an input is another, and nothing is kept of how that was made.
  enum class Kind : std::uint8_t { never_seen, evicted, field, inputs, content, asked, again, unknown };
  Kind kind = Kind::never_seen;
  std::string field;                           // of `field` and `inputs`: its name
  std::optional<std::string> before, after;    // nullopt: there was none, there is none
  RecordId earlier;                            // what it was compared with, at the end of the way; it may be gone
  base::WallTime earlier_made{};
  base::WallTime evicted_at{};                 // of `evicted`
  std::string rule;                            // by which
  std::chrono::nanoseconds build_time{0};      // what making it had taken
  // Of `content`, and of whatever else if the content of an input decides: its paths, of those that are selected, from the top of its
  // tree, and how the later one differs from the earlier; the first in key order. None of `content`: the pages of one of the trees
  // are gone, or were never made.
  std::vector<TreeDifference> paths;
  std::uint64_t paths_total = 0;
};
std::string_view to_string(Reason::Kind kind);  // "never_seen", ...
inline constexpr std::size_t explained_paths_max = 100;

struct ExplainCounts {
  std::uint64_t rows_read = 0;   // of recipes, their texts and their index
  std::uint64_t pages_read = 0;  // of trees' digests
};

struct Explanation {
  RecordId record;
  std::string name;            // of the step
  std::string vertex;          // the first 32 hex digits of its digest
  base::WallTime made{};
  std::chrono::nanoseconds took{0};
  // From the step down to what is to blame, each an input of the one before.
  struct Hop {
    std::uint32_t input = 0;
    std::string name;
    RecordId record;  // 0: nothing is known of it
  };
  std::vector<Hop> way;
  Reason reason;
  ExplainCounts counts;
};

// Beside the owner of the store; one version of the metadata. Errors: not_found (nothing is kept of that record), io, corrupt.
// O(log n) in records: some hundred rows, and the pages of directories that differ.
base::Result<Explanation> explain(base::lmdb::Env& env, RecordId record);
struct FoundStep {
  RecordId record;  // that it made; it may be gone
  std::string name;
  std::string vertex;  // the first 32 hex digits of its digest
  base::WallTime made{};
};
// The steps with this name, or with a vertex whose digest begins with these hex digits (at least 4; "sha256:" or nothing before
// them); the newest first, at most 16 of one name or digest.
base::Result<std::vector<FoundStep>> find_steps(base::lmdb::Env& env, std::string_view step);

}  // namespace cairn::cache
