// SPDX-License-Identifier: Apache-2.0
// A store opened by its owner: the composition root that joins the libraries. One process owns a store at a time (it
// holds <root>/lock); others reach it through the owner's socket (server.h, client.h) or read beside it (open_read_only).
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>

#include "libbase/clock.h"
#include "libbase/fs/fd.h"
#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/quota.h"
#include "libsnapshot/snapshotter.h"
#include "libsolver/solver.h"

namespace cairn::engine {

// The version of the store's format that this build reads and writes (docs/formats/store.md).
constexpr int store_version = 2;

struct EngineOptions {
  explicit EngineOptions(base::HostPath root_in) : root(std::move(root_in)) {}
  base::HostPath root;
  std::string snapshotter;      // "": probe; "overlay", "native"
  std::string runtime;          // solver::ExecutorOptions::runtime
  std::size_t parallelism = 0;  // steps at a time; 0: two more than there are cores
  unsigned chain_max = 400;     // flatten chains of more layers
  base::lmdb::GroupWriter::Options writer;
  // What may stay in the store; none: <root>/gc.toml, and without one the default.
  std::optional<cache::Policy> policy;
  cache::Quota quota;  // on top of the policy
  std::optional<cache::CacheOptions> cache;  // none: <root>/store.toml, and without one the default
  // f_type of the file system of a directory; empty: statfs (backing.h). A seam: nobody tests on NFS.
  std::function<base::Result<std::uint64_t>(const base::HostPath&)> file_system_type;
  // Called on the writer's thread when the data of these tokens has been made durable; for the crash suite, which takes
  // away what was not.
  std::function<void(std::span<const base::lmdb::DataToken>)> data_synced;
};

// What opening, solving and storing has cost this engine; tests assert these.
struct EngineCounts {
  std::uint64_t syncs = 0;            // fdatasync, fsync, syncfs and durable LMDB commits of this process since open
  std::uint64_t read_transactions = 0;
  std::uint64_t commits = 0;          // LMDB
  std::uint64_t groups = 0;           // of the group writer
  std::uint64_t processes = 0;        // started for steps
  std::uint64_t ops_executed = 0;
  std::uint64_t tree_bytes_read = 0;  // by content digests
  std::uint64_t trees_mounted = 0;
  std::uint64_t history_dropped = 0;  // solves that there was no room to remember
};

// Thread-safe.
class Engine {
 public:
  // Opens the store, making it if the directory is missing or empty, and recovers from a dead owner. Afterwards this
  // process is the owner until the engine is destroyed. Opening an existing store that was closed well does no durable
  // write. Errors: busy (another owner; the message names its pid), invalid_argument (not a store, or of a newer
  // version), unavailable, no_space, io.
  static base::Result<std::unique_ptr<Engine>> open(EngineOptions options);
  ~Engine();  // waits for queued metadata; no solve is running, and no ref is alive

  // See solver.h. The outcome must be gone before the engine is. What was solved is kept in the history.
  solver::SolveOutcome solve(const solver::SolveRequest& request, solver::ProgressSink& progress, std::stop_token stop);

  // The tree of a result that is lazy: see Solver::fetch.
  base::Status fetch(const cache::ImmutableRef& result, std::stop_token stop = {});
  solver::Solver& solver();  // for caches of elsewhere
  cache::Cache& cache();
  snapshot::Snapshotter& snapshots();
  const base::HostPath& root() const;
  const cache::Policy& policy() const;  // what the collector works by
  EngineCounts counts() const;

 private:
  Engine();
  struct State;
  std::unique_ptr<State> state_;
};

// The tables of all libraries, for whoever opens the environment.
std::vector<const base::lmdb::RawTableSpec*> all_tables();

// For repairs, which need the store for themselves: its lock, which dies with the descriptor. Errors: not_found (no store
// there), busy (the message names the owner's pid), io.
base::Result<base::Fd> lock_for_repair(const base::HostPath& root);
// The number in VERSION; nullopt: there is no store. Errors: invalid_argument (not a store, or of a newer version).
base::Result<std::optional<int>> version_of_store(const base::HostPath& root);
base::Status write_version(const base::HostPath& root);  // that of this build; durable

// Opens a store's metadata for reading, beside an owner or without one. Takes no lock. Errors: not_found (no store
// there), invalid_argument (a newer version), corrupt, io.
base::Result<std::unique_ptr<base::lmdb::Env>> open_read_only(const base::HostPath& root);

// The pid in <root>/lock if a live owner holds it.
std::optional<int> owner_pid(const base::HostPath& root);

}  // namespace cairn::engine
