// SPDX-License-Identifier: Apache-2.0
// A bounded pool of threads. Tasks get a stop token; stopping asks running tasks to end and drops what is queued.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>

#include "libbase/result.h"

namespace cairn::base {

// Thread-safe.
class ThreadPool {
 public:
  using Task = std::function<void(std::stop_token)>;
  struct Options {
    std::size_t threads = 2;
    std::size_t queue_max = 65536;  // submit() answers busy beyond it
  };

  explicit ThreadPool(Options options);
  ~ThreadPool();  // stop(), then joins
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  // The task will run once on some thread, unless the pool is stopped first. Errors: busy (queue full), cancelled
  // (stopped).
  Status submit(Task task);
  // Requests stop of the running tasks and drops the queued ones. Does not wait.
  void stop();
  // Returns when nothing is queued or running, and what the tasks captured is gone. Not to be called by a task.
  void wait_idle();
  std::size_t threads() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::base
