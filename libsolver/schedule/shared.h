// SPDX-License-Identifier: Apache-2.0
// What all solves of one engine share: the pool, work in flight, and who runs.
#pragma once

#include <atomic>
#include <functional>
#include <list>
#include <map>
#include <memory>
#include <stop_token>
#include <string>
#include <thread>

#include "libbase/sync.h"
#include "libsolver/ops/cache_mounts.h"
#include "libsolver/schedule/flights.h"
#include "libsolver/sources/blob_origins.h"
#include "libsolver/sources/resolver_cache.h"
#include "libsolver/solver.h"

namespace cairn::solver {

// Threads for work that waits for other work and so may not take a place of the pool. Thread-safe.
class BesideThreads {
 public:
  void run(base::ThreadPool::Task task);
  ~BesideThreads();  // waits for all

 private:
  struct Running {
    std::jthread thread;
    std::shared_ptr<std::atomic<bool>> ended;
  };
  base::Guarded<std::list<Running>> running_;
};

struct SolverShared {
  SolverShared(cache::Cache& cache_in, const base::Clock& clock_in, const SolverOptions& options, std::size_t threads);

  cache::Cache& cache;
  const base::Clock& clock;
  std::unique_ptr<MainStore> own_results;  // if the options name none
  MainStore& results;
  MakeOp make_op;
  cache::Fetcher* const fetcher;
  cache::TraceRecorder* const trace;
  BlobOrigins origins;  // outlives the pool
  base::ThreadPool pool;
  BesideThreads beside;
  Flights flights;
  IdentityFlights identities;
  std::function<base::Result<Executor*>()> executor;
  CacheMountQueues cache_mounts;
  std::atomic<std::uint64_t> ops_executed{0};
  base::Guarded<std::map<std::string, std::stop_source, std::less<>>> jobs;  // running solves that have an id

 private:
  Flights::Submit submit();
};

}  // namespace cairn::solver
