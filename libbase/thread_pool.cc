// SPDX-License-Identifier: Apache-2.0
#include "libbase/thread_pool.h"

#include <condition_variable>
#include <deque>
#include <mutex>
#include <thread>
#include <vector>

namespace cairn::base {

struct ThreadPool::State {
  explicit State(Options options_in) : options(options_in) {}

  void work() {
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [&] { return stop.stop_requested() || !queue.empty(); });
      if (stop.stop_requested()) return;
      Task task = std::move(queue.front());
      queue.pop_front();
      ++running;
      lock.unlock();
      task(stop.get_token());
      task = nullptr;  // what it captured is released outside the lock
      lock.lock();
      --running;
      if (running == 0 && queue.empty()) idle.notify_all();
    }
  }

  const Options options;
  std::mutex mutex;
  std::condition_variable changed, idle;
  std::deque<Task> queue;
  std::size_t running = 0;
  std::stop_source stop;
  std::vector<std::jthread> threads;
};

ThreadPool::ThreadPool(Options options) : state_(std::make_unique<State>(options)) {
  CHECK(options.threads > 0);
  for (std::size_t i = 0; i < options.threads; ++i) state_->threads.emplace_back([state = state_.get()] { state->work(); });
}

ThreadPool::~ThreadPool() {
  stop();
  state_->threads.clear();
}

Status ThreadPool::submit(Task task) {
  {
    std::lock_guard lock(state_->mutex);
    if (state_->stop.stop_requested()) return fail(ErrorCode::cancelled, "the thread pool is stopped");
    if (state_->queue.size() >= state_->options.queue_max) {
      return fail(ErrorCode::busy, "{} tasks are waiting already", state_->queue.size());
    }
    state_->queue.push_back(std::move(task));
  }
  state_->changed.notify_one();
  return {};
}

void ThreadPool::stop() {
  std::deque<Task> dropped;
  {
    std::lock_guard lock(state_->mutex);
    dropped.swap(state_->queue);
    if (state_->running == 0) state_->idle.notify_all();
  }
  state_->stop.request_stop();  // outside the lock: stop callbacks run here
  // A worker between its check and its wait would miss the wake-up without this.
  std::lock_guard lock(state_->mutex);
  state_->changed.notify_all();
}

void ThreadPool::wait_idle() {
  std::unique_lock lock(state_->mutex);
  state_->idle.wait(lock, [&] { return state_->running == 0 && state_->queue.empty(); });
}

std::size_t ThreadPool::threads() const { return state_->options.threads; }

}  // namespace cairn::base
