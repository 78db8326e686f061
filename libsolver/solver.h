// SPDX-License-Identifier: Apache-2.0
// The solver: takes a definition, finds what has been done before, runs what has not, and hands back the result as a ref.
// It keeps no durable state of its own. Any number of solves run at once; equal work of two solves is done once (I7).
#pragma once

#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libbase/thread_pool.h"
#include "libcache/cache.h"
#include "libsolver/definition.h"
#include "libsolver/executor.h"
#include "libsolver/progress.h"

namespace cairn::solver {

enum class UseCache { yes, no };

struct SolveRequest {
  Definition definition;
  std::map<std::string, base::HostPath> locals;       // name in local://name → directory
  std::map<std::string, base::HostPath> oci_layouts;  // name in oci-layout://name@digest → directory
  UseCache use_cache = UseCache::yes;  // no: every step runs; results are stored all the same
};

struct StepResult {
  VertexDigest digest;
  std::string name;
  StepState state = StepState::cached;
  std::chrono::nanoseconds duration{0};
  std::string error;
  std::optional<cache::Tombstone> evicted{};  // it was executed because a collection had taken its result
};

struct SolveOutcome {
  base::Status status;                          // why there is no result
  std::optional<cache::ImmutableRef> result;    // nullopt with an ok status: the empty tree (scratch)
  std::vector<StepResult> steps;                // one per vertex, always complete
  std::chrono::nanoseconds duration{0};
  std::string not_cached;  // not empty: the result is good, but storing it failed for this reason
  std::size_t count(StepState state) const;
};

struct SolverOptions {
  std::size_t parallelism = 0;  // steps at a time; 0: one per core
};

// Thread-safe.
class Solver {
 public:
  // The executor is opened when the first process has to run, so that a warm solve starts none.
  using OpenExecutor = std::function<base::Result<std::unique_ptr<Executor>>()>;
  Solver(cache::Cache& cache, OpenExecutor open_executor, const base::Clock& clock, SolverOptions options);
  ~Solver();  // no solve is running

  // Solves and waits. With an ok status every record and key that the result depends on is durable (a power cut cannot
  // take it back). On an error or a stop request all work that nobody else waits for has ended, and nothing half-made is
  // in the store. Errors name the step. The outcome's ref holds the result.
  SolveOutcome solve(const SolveRequest& request, ProgressSink& progress, std::stop_token stop);

  struct Counts {
    std::uint64_t processes = 0;   // started by executors
    std::uint64_t ops_executed = 0;
  };
  Counts counts() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::solver
