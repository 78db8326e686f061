// SPDX-License-Identifier: Apache-2.0
// What was solved in a store: a row for each solve, with its steps. A solve waits for no disk for its row: the row is
// appended to root/history, unsynced, and many of them move into the table in one change of the writer. The newest of a
// power cut may be lost; so is what a full disk has no room for, which is counted.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libbase/digest.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"
#include "libcache/statistics.h"

namespace cairn::cache {

using SolveId = base::Id<struct SolveMeaning>;  // when it began, in unix ns; text form: 16 hex digits

inline constexpr std::size_t tried_keys_max = 16;  // of a step that are kept

struct SolvedStep {
  enum class State : std::uint8_t { executed = 0, cached = 1, failed = 2, cancelled = 3 };
  base::Sha256Bytes digest{};  // of its vertex
  std::string name;
  State state = State::cached;
  std::chrono::nanoseconds started{0};   // after the solve began; 0 and no duration: nothing of it ran
  std::chrono::nanoseconds duration{0};
  std::uint64_t keys_tried = 0;          // whose results were looked for, of all its outputs
  std::vector<KeyDigest> keys{};         // the first of them, in the order in which they were looked for
  std::optional<KeyDigest> hit{};        // the key that led to what was taken
  std::optional<MissCause> missed{};     // why nothing was, if it was asked for
  RecordId made{};                       // of an executed one: its first result that is no scratch; 0: none is known
  std::vector<std::uint32_t> inputs{};   // which steps of the solve it takes something from, by their place among them
  bool operator==(const SolvedStep&) const = default;
};

struct SolveRow {
  enum class Outcome : std::uint8_t { done = 0, failed = 1, cancelled = 2 };
  SolveId id;
  std::chrono::nanoseconds duration{0};
  std::string project, build;
  base::Sha256Bytes definition{};  // the digest of the vertex that it was for
  Outcome outcome = Outcome::done;
  std::string error;               // "" unless it failed; at most 4 KiB are kept
  std::vector<SolvedStep> steps;
  base::WallTime started() const { return base::from_unix_ns(static_cast<std::int64_t>(id.value())); }
  bool operator==(const SolveRow&) const = default;
};
std::string_view to_string(SolveRow::Outcome outcome);  // "done", "failed", "cancelled"
std::string_view to_string(SolvedStep::State state);    // "executed", ...
std::string to_text(SolveId id);
base::Result<SolveId> parse_solve_id(std::string_view text);

// Of root/store.toml: history_solves and history_bytes. Beyond them the oldest go.
struct HistoryOptions {
  std::uint64_t solves_max = 1000;
  std::uint64_t bytes_max = 16u << 20;  // of rows, as they are stored
};
// Errors: invalid_argument.
base::Result<HistoryOptions> parse_history_options(std::string_view text, std::string_view name);

// Thread-safe. Of the store's owner.
class History {
 public:
  History(base::HostPath root, base::lmdb::GroupWriter& writer, HistoryOptions options);
  ~History();
  // Keeps a row, and gives it another id if another solve began in that very nanosecond. One buffered write; nothing is
  // synced. Every 256 KiB of rows are handed to the writer, and nobody waits for that. O(steps).
  void add(SolveRow row);
  std::uint64_t dropped() const;  // rows for which there was no room

 private:
  struct State;
  base::lmdb::GroupWriter& writer_;
  std::shared_ptr<State> state_;  // outlives this while the writer has something of it
};

// Ascending by time; beside the owner of the store. Rows that cannot be read are left out. O(rows).
base::Result<std::vector<SolveRow>> solve_history(base::lmdb::Env& env, const base::HostPath& root);
// nullopt: there is none, or no more.
base::Result<std::optional<SolveRow>> find_solve(base::lmdb::Env& env, const base::HostPath& root, SolveId id);

}  // namespace cairn::cache
