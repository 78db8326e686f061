// SPDX-License-Identifier: Apache-2.0
// Steps that were run again under a key that had a result, and made something else: a row for each such key, with the paths
// that differ. The two trees are compared in the background, by their pages, so what is equal is not read. What counts is
// what counts in content digests: names, types, bytes, modes, owners, attributes; times do not. A row that a crash or the
// end of its owner cuts short is lost, which costs nothing but the knowledge.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "libcache/tree_difference.h"

namespace cairn::cache {

// Who has just made what is published.
struct ExecutedStep {
  base::Sha256Bytes vertex{};
  std::string name;
  std::vector<RecordId> inputs;  // what it was run on
};

struct LedgerRow {
  base::Sha256Bytes vertex{};  // as it was last
  std::string name;            // of the step; at most 256 bytes are kept
  std::uint64_t compared = 0;  // results under this key, since the first that differed
  std::uint64_t differed = 0;  // of them
  std::uint64_t by_inputs = 0; // of those: made from an input that is itself in this ledger, so the step may not be to blame
  base::WallTime first_differed{};
  // Of the last time that it differed:
  base::WallTime last_differed{};
  RecordId older, newer;  // they may be gone by now; 0: the empty tree
  bool last_by_inputs = false;
  std::uint64_t paths_total = 0;
  std::vector<TreeDifference> paths;  // from the older to the newer; the first of them in key order
  bool operator==(const LedgerRow&) const = default;
};
inline constexpr std::size_t ledger_paths_max = 100;
inline constexpr std::size_t ledger_path_bytes_max = 16u << 10;  // of all paths of a row

struct LedgerEntry {
  KeyDigest key;
  LedgerRow row;
};

// Since the store was made.
struct LedgerTotals {
  std::uint64_t compared = 0;      // results of steps that were run again, with what their key had led to
  std::uint64_t differed = 0;      // of them
  std::uint64_t not_compared = 0;  // a tree was gone or could not be read, too much waited, or the owner ended
  bool operator==(const LedgerTotals&) const = default;
};

// Of root/store.toml: ledger_steps, ledger_bytes, ledger_age. Beyond them those go that differed last the longest ago.
struct LedgerOptions {
  std::uint64_t steps_max = 1000;
  std::uint64_t bytes_max = 4u << 20;  // of rows, as they are stored
  std::chrono::nanoseconds age_max = std::chrono::hours(24 * 90);
};
// Errors: invalid_argument.
base::Result<LedgerOptions> parse_ledger_options(std::string_view text, std::string_view name);

struct LedgerView {
  LedgerTotals totals;
  std::vector<LedgerEntry> entries;  // the one that differed last comes first
};
// Beside the owner of the store. What was compared a moment ago may not be in it yet. Rows that cannot be read are
// left out. O(rows). Errors: io.
base::Result<LedgerView> read_ledger(base::lmdb::Env& env);

}  // namespace cairn::cache
