// SPDX-License-Identifier: Apache-2.0
// What a vertex does: the seam between decisions (the scheduler) and deeds (sources, processes). An op first says what it
// is; only if nobody has done that before is it asked to do it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/fetcher.h"
#include "libsolver/cache_map.h"
#include "libsolver/result_store.h"
#include "libsolver/solver.h"

namespace cairn::solver {

class BlobOrigins;
class LiveCacheMounts;
class ResolverCache;
struct CacheMountQueues;

struct OpOutputs {
  std::vector<OptionalRef> refs;      // by output index
  // Of a source whose content turned out otherwise than it said before: the keys that are true of what it made.
  std::optional<std::vector<KeyDigest>> true_keys;
  base::lmdb::SequenceNumber sequence = 0;  // filled when published
  std::string not_cached;                   // filled if publishing failed
  std::optional<cache::Tombstone> evicted;  // filled if what its keys led to had been taken by a collection
  bool done_otherwise = false;              // of a source: it was made here before, with other content
  cache::MissCause cause = cache::MissCause::never_seen;  // filled: why it was not found
  bool found = false;                       // filled when somebody had stored it just before it was to run
};

// What an op may use while it works. Output and progress may be called from any thread.
struct OpContext {
  cache::Cache& cache;
  std::function<base::Result<Executor*>()> executor;
  std::function<void(Stream, std::string_view)> output;
  std::function<void(std::uint64_t done, std::uint64_t total)> bytes;
  std::stop_token stop;
  cache::Fetcher* fetcher = nullptr;  // null: this engine reaches no network
  // Solves another definition, as part of this solve, and waits. Only of ops whose place is `beside`.
  std::function<base::Result<OptionalRef>(Definition)> solve;
  CacheMountQueues& cache_mounts;  // of all solves
  std::shared_ptr<LiveCacheMounts> live_cache_mounts = {};  // of this solve
  BlobOrigins* origins = nullptr;  // of all solves
  std::function<void(const KeptTree&)> kept = {};  // hears what is kept of a step that fails
  cache::Owner owner = {};                         // whose that is
  std::vector<std::shared_ptr<ResolverCache>> resolved = {};  // of this solve, or of all that it works for
};

// Thread-safe: identify() is called once for each index, in order, and execute() at most once at a time, a second time only
// after no_space; maybe on different threads.
class Op {
 public:
  virtual ~Op() = default;

  enum class Cost { pure, io };
  // Whether identify() must not run on the scheduler's thread.
  virtual Cost identify_cost() const = 0;
  virtual base::Result<OpIdentity> identify(std::uint32_t index, const OpContext& context) = 0;
  // If two ops of two solves are equal here, identify(index) is asked of one of them while both wait; the other must be
  // able to do without. nullopt: of each.
  virtual std::optional<base::Sha256Bytes> identify_together(std::uint32_t) const { return std::nullopt; }
  // The content digest of an input that is complete, by what its dep selects. nullopt of `input`: scratch.
  virtual base::Result<TreeDigest> content_digest(std::uint32_t number, const CacheMapDep& dep, const OptionalRef& input,
                                                  std::stop_token stop);

  // Equal identities of two solves at one time mean equal work, done once. `inputs` are complete.
  virtual base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const = 0;
  // Does the work; new records go into `publication`, which the caller publishes with the keys.
  virtual base::Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                                          cache::Publication& publication) = 0;
  virtual std::uint32_t outputs() const = 0;
  // pool: execute() takes one of the places that limit how much runs at a time. beside: it takes none, because it waits
  // for other steps.
  enum class Place { pool, beside };
  virtual Place place() const { return Place::pool; }
};

// The op of a vertex. Errors: unavailable ("not supported: …") for ops and options that this version does not run;
// not_found for a local or layout name that the request does not bind.
base::Result<std::unique_ptr<Op>> make_op(std::shared_ptr<const Vertex> vertex, const SolveRequest& request);

}  // namespace cairn::solver
