// SPDX-License-Identifier: Apache-2.0
// What was asked of a store, as it was really used, and what would have come of it under another policy or in another size.
// A trace is one file (docs/formats/trace.md). While <root>/trace is there, whoever owns the store appends each solve to
// it: one unsynced write for a solve, nothing if the file is not there. It has a bound; what comes beyond it is left out.
//
// A replay selects what goes with the very code of the collector (gc/selection.h); what it only reckons with is the store.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_set>
#include <vector>

#include "libbase/clock.h"
#include "libbase/fs/fd.h"
#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libbase/sync.h"
#include "libcache/digests.h"
#include "libcache/policy.h"
#include "libcache/record.h"

namespace cairn::cache {

// The first 8 bytes of a key: enough to tell those of one trace apart.
using TracedKey = std::uint64_t;
TracedKey traced(const KeyDigest& key);

// A record as it was when the trace first met it.
struct TracedRecord {
  RecordId id;
  RecordType type = RecordType::regular;
  std::int64_t bytes = 0;  // that are free when it goes
  std::chrono::nanoseconds build_time{0};
  base::WallTime last_used{};
  std::uint64_t use_count = 0;
  std::string description{};  // at most 256 bytes
  std::vector<RecordId> parents{};
  std::vector<TracedKey> keys{};
  bool operator==(const TracedRecord&) const = default;
};

// One output of one step of a solve.
struct TracedLookup {
  // forced: made without having been looked for. not_asked: nobody needed it, for what is made of it was found.
  enum class Ended : std::uint8_t { hit = 0, made = 1, failed = 2, not_asked = 3, forced = 4 };
  struct Input {
    std::uint32_t lookup = 0;  // its place in the solve
    bool by_content = false;   // its content was looked into to find the step
    bool operator==(const Input&) const = default;
  };
  Ended ended = Ended::hit;
  RecordId record{};  // what was found or made; 0: nothing, or an empty tree
  std::vector<TracedKey> keys{};
  std::vector<Input> inputs{};
  bool operator==(const TracedLookup&) const = default;
};

struct TracedSolve {
  base::WallTime started{};
  std::chrono::nanoseconds duration{0};
  std::string project{};
  std::int64_t other_bytes = 0;         // that were live then and are no record's: metadata
  std::vector<TracedLookup> lookups{};  // inputs before users
  bool operator==(const TracedSolve&) const = default;
};

struct Trace {
  std::vector<TracedRecord> records;  // as they were met; first those that were there when it began
  std::vector<TracedSolve> solves;
  std::size_t present = 0;            // records that were there when it began
  std::uint64_t unread_bytes = 0;     // at the end: cut off or damaged
};

inline constexpr std::uint64_t trace_bytes_default = 64u << 20;
inline constexpr std::uint64_t trace_bytes_max = 1u << 30;
inline constexpr const char* trace_file = "trace";  // below the root

// The pieces of a file, for whoever makes traces of his own: the header, and then rows in any number.
std::string trace_header(std::uint64_t bytes_max);
enum class Met : std::uint8_t { at_begin = 1, later = 3 };
std::string trace_row(const std::vector<TracedRecord>& records, Met met = Met::later);
std::string trace_row(const TracedSolve& solve);
std::string trace_frame(std::string_view row);  // what the two above are put in
// Errors: invalid_argument (no trace, or of a newer version), corrupt (a row that is whole but makes no sense).
base::Result<Trace> parse_trace(std::string_view bytes);

// Begins a trace of a store, with the records that are there. Beside the owner of the store or without one.
// Errors: busy (it is being traced), invalid_argument (a bound beyond trace_bytes_max), io, no_space.
base::Status begin_trace(base::lmdb::Env& env, const base::HostPath& root, std::uint64_t bytes_max = trace_bytes_default);
// Ends it. `to`: where the file goes, on any file system, replacing what is there; else it is deleted.
// Errors: not_found (it is not being traced), io, no_space (it goes on then).
base::Status end_trace(const base::HostPath& root, const std::optional<base::HostPath>& to);
struct TraceStanding {
  std::uint64_t bytes = 0, bytes_max = 0;
};
base::Result<std::optional<TraceStanding>> trace_standing(const base::HostPath& root);  // nullopt: it is off

// Of the store's owner. Thread-safe.
class TraceRecorder {
 public:
  TraceRecorder(base::HostPath root, base::lmdb::Env& env) : root_(std::move(root)), env_(env) {}
  bool is_on();                   // one system call
  void add(TracedSolve solve);    // one buffered write; what cannot be kept is counted
  std::uint64_t dropped() const;  // solves

 private:
  struct State {
    base::Fd fd;
    std::uint64_t inode = 0, bytes_max = 0;
    std::unordered_set<RecordId> described;
    bool full = false;
    std::uint64_t dropped = 0;
  };
  base::Status open(State& state);
  base::Result<std::string> describe(State& state, const TracedSolve& solve);

  const base::HostPath root_;
  base::lmdb::Env& env_;
  mutable base::Guarded<State> state_;
};

struct ReplayOptions {
  Policy policy{};                      // without rules: everything stays
  std::optional<std::int64_t> size{};   // a ceiling in bytes, after the policy's own rules
  DiskSpace disk{};                     // what percents and free space are of; free when the replay begins
  std::size_t counted_from = 0;         // solves before this one only fill the store
};

struct ReplayReport {
  std::uint64_t lookups = 0, hits = 0;
  std::uint64_t made = 0, made_again = 0;   // results; of them: those that had been there before
  std::chrono::nanoseconds saved{0};        // what making what was found would have taken
  std::chrono::nanoseconds building{0};     // what making all the rest took
  std::chrono::nanoseconds rebuilding{0};   // of that: what had been there before
  std::int64_t bytes_made = 0, bytes_rebuilt = 0;
  std::int64_t bytes_most = 0, bytes_last = 0;  // live, of records: at most, and at the end
  std::uint64_t taken = 0;                  // records, by the policy
  struct Point {
    base::WallTime at{};
    std::uint64_t lookups = 0, hits = 0;    // up to there
  };
  std::vector<Point> over_time;             // one for each solve that counts
  double hit_rate() const { return lookups == 0 ? 0 : static_cast<double>(hits) / static_cast<double>(lookups); }
};

// Reads the trace once; each run is a store of its own. What one solve uses is held to its end, and solves follow one another
// in the order of the trace. O(lookups + what the policy takes) for a run. Errors: invalid_argument, cancelled.
class Replayer {
 public:
  explicit Replayer(const Trace& trace);
  ~Replayer();
  base::Result<ReplayReport> run(const ReplayOptions& options) const;

 private:
  struct Model;
  std::unique_ptr<const Model> model_;
};

}  // namespace cairn::cache
