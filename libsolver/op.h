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
#include "libsolver/cache_map.h"
#include "libsolver/solver.h"

namespace cairn::solver {

using OptionalRef = std::optional<cache::ImmutableRef>;  // nullopt: scratch, the empty tree

// Everything an op knows of itself before it runs.
struct OpIdentity {
  std::vector<CacheMap> maps;         // each names the same operation in another way; all have as many deps as the op
  std::vector<KeyDigest> extra_keys;  // of a source: keys that are not BuildKit's (a synced tree by its content)
};

struct OpOutputs {
  std::vector<OptionalRef> refs;      // by output index
  // Of a source whose content turned out otherwise than it said before: the keys that are true of what it made.
  std::optional<std::vector<KeyDigest>> true_keys;
  base::lmdb::SequenceNumber sequence = 0;  // filled when published
  std::string not_cached;                   // filled if publishing failed
  std::optional<cache::Tombstone> evicted;  // filled if what its keys led to had been taken by a collection
};

// What an op may use while it works. Output and progress may be called from any thread.
struct OpContext {
  cache::Cache& cache;
  std::function<base::Result<Executor*>()> executor;
  std::function<void(Stream, std::string_view)> output;
  std::function<void(std::uint64_t done, std::uint64_t total)> bytes;
  std::stop_token stop;
};

// Thread-safe: identify() is called at most once per object, and so is execute(), but for a second time after no_space;
// maybe on different threads.
class Op {
 public:
  virtual ~Op() = default;

  enum class Cost { pure, io };
  // Whether identify() must not run on the scheduler's thread.
  virtual Cost identify_cost() const = 0;
  virtual base::Result<OpIdentity> identify(const OpContext& context) = 0;

  // Equal identities of two solves at one time mean equal work, done once. `inputs` are complete.
  virtual base::Sha256Bytes work_identity(std::span<const OptionalRef> inputs) const = 0;
  // Does the work; new records go into `publication`, which the caller publishes with the keys.
  virtual base::Result<OpOutputs> execute(std::span<const OptionalRef> inputs, const OpContext& context,
                                          cache::Publication& publication) = 0;
  virtual std::uint32_t outputs() const = 0;
};

// The op of a vertex. Errors: unavailable ("not supported: …") for ops and options that this version does not run;
// not_found for a local or layout name that the request does not bind.
base::Result<std::unique_ptr<Op>> make_op(std::shared_ptr<const Vertex> vertex, const SolveRequest& request);

}  // namespace cairn::solver
