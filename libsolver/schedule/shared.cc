// SPDX-License-Identifier: Apache-2.0
#include "libsolver/schedule/shared.h"

namespace cairn::solver {

void BesideThreads::run(base::ThreadPool::Task task) {
  const auto ended = std::make_shared<std::atomic<bool>>(false);
  auto running = running_.lock();
  running->remove_if([](const Running& each) { return each.ended->load(); });  // joins at once: they have ended
  running->push_back({std::jthread([task = std::move(task), ended](std::stop_token stop) mutable {
                        task(std::move(stop));
                        task = nullptr;
                        *ended = true;
                      }),
                      ended});
}

BesideThreads::~BesideThreads() {
  std::list<Running> last;
  last.swap(*running_.lock());
}

Flights::Submit SolverShared::submit() {
  return [this](base::ThreadPool::Task task, Op::Place place) -> base::Status {
    if (place == Op::Place::pool) return pool.submit(std::move(task));
    beside.run(std::move(task));
    return {};
  };
}

SolverShared::SolverShared(cache::Cache& cache_in, const base::Clock& clock_in, const SolverOptions& options,
                           std::size_t threads)
    : cache(cache_in),
      clock(clock_in),
      own_results(options.results != nullptr ? nullptr : results_of(cache_in)),
      results(options.results != nullptr ? *options.results : *own_results),
      make_op(options.make_op ? options.make_op : MakeOp(solver::make_op)),
      fetcher(options.fetcher),
      trace(options.trace),
      origins(cache_in, options.registries, options.buckets),
      pool({.threads = threads}),
      flights(submit()),
      identities(pool) {}

}  // namespace cairn::solver
