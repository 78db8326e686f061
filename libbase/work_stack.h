// SPDX-License-Identifier: Apache-2.0
// Runs tasks that make further tasks, on as many threads as there are cores. What waits is worked off from its young end,
// so that a walk of a tree goes deep first and what waits follows the depth of the tree and its widest directory. Helpers
// are started only where there is enough to do, and end with run().
#pragma once

#include <algorithm>
#include <condition_variable>
#include <functional>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "libbase/result.h"
#include "libbase/sync.h"

namespace cairn::base {

// One run per object.
template <class Task>
class WorkStack {
 public:
  static constexpr unsigned threads_max = 16;
  // threads: of run(), the caller's included; 0: as many as there are cores.
  explicit WorkStack(unsigned threads = 0)
      : threads_(std::clamp(threads > 0 ? threads : std::thread::hardware_concurrency(), 1u, threads_max)) {}

  // For run(), and for the tasks that it runs.
  void push(std::vector<Task> tasks) {
    auto state = state_.lock();
    std::move(tasks.begin(), tasks.end(), std::back_inserter(state->tasks));
    news_.notify_all();
    // With less to do, another thread costs more than it brings.
    constexpr std::size_t enough_for_help = 4;
    if (state->error || state->tasks.size() < enough_for_help || state->helpers_started + 1 >= threads_) return;
    ++state->helpers_started;
    state->helpers.emplace_back([this] { work_(); });
  }

  // Every thread calls make_worker() once, and its result, Status(Task&), for one task after the other. Returns when all
  // tasks have been run, or, with the error, as soon as one has failed and what ran beside it has ended.
  template <class MakeWorker>
  Status run(std::vector<Task> first, const MakeWorker& make_worker) {
    work_ = [this, &make_worker] {
      auto worker = make_worker();
      while (std::optional<Task> task = take()) {
        const Status status = worker(*task);
        task.reset();
        done(status);
      }
    };
    push(std::move(first));
    work_();
    // A task that still runs beside a failed one starts no helper any more.
    std::vector<std::jthread> helpers = std::move(state_.lock()->helpers);
    helpers.clear();
    auto state = state_.lock();
    if (state->error) return tl::unexpected(std::move(*state->error));
    return {};
  }

 private:
  struct State {
    std::vector<Task> tasks;
    std::size_t running = 0;
    unsigned helpers_started = 0;
    std::vector<std::jthread> helpers;
    std::optional<Error> error;

    bool is_over() const { return error.has_value() || (tasks.empty() && running == 0); }
  };

  std::optional<Task> take() {
    auto state = state_.lock();
    news_.wait(state.lock(), [&] { return state->is_over() || !state->tasks.empty(); });
    if (state->is_over()) return std::nullopt;
    std::optional<Task> task(std::move(state->tasks.back()));
    state->tasks.pop_back();
    ++state->running;
    return task;
  }

  void done(const Status& status) {
    auto state = state_.lock();
    --state->running;
    if (!status && !state->error) state->error = status.error();
    if (state->is_over()) news_.notify_all();
  }

  const unsigned threads_;
  std::function<void()> work_;  // set before any helper starts
  std::condition_variable_any news_;
  Guarded<State> state_;
};

}  // namespace cairn::base
