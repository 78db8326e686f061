// SPDX-License-Identifier: Apache-2.0
// The pool: one queue, one lock, two conditions (work for the threads, idleness for those who wait). A closure is
// always destroyed outside the lock, for its destructor may do anything.
#include "libbase/thread_pool.h"

#include <condition_variable>
#include <deque>
#include <thread>
#include <utility>
#include <vector>

#include "libbase/sync.h"

namespace cairn::base {

namespace {

struct Queue {
  std::deque<ThreadPool::Task> tasks;
  std::size_t running = 0;
  bool stopped = false;

  bool is_idle() const { return tasks.empty() && running == 0; }

  ThreadPool::Task take() {
    ThreadPool::Task task = std::move(tasks.front());
    tasks.pop_front();
    ++running;
    return task;
  }
};

}  // namespace

struct ThreadPool::State {
  explicit State(Options given) : options(given) {}

  void run();

  const Options options;
  std::stop_source stop;
  Guarded<Queue> queue;
  std::condition_variable work, idle;
  std::vector<std::thread> threads;
};

void ThreadPool::State::run() {
  while (true) {
    Task task;
    {
      auto held = queue.lock();
      work.wait(held.lock(), [&] { return held->stopped || !held->tasks.empty(); });
      if (held->stopped) return;
      task = held->take();
    }
    task(stop.get_token());
    task = nullptr;  // What it captured is gone before anybody hears that the pool is idle.
    auto held = queue.lock();
    --held->running;
    if (held->is_idle()) idle.notify_all();
  }
}

ThreadPool::ThreadPool(Options options) : state_(std::make_unique<State>(options)) {
  CHECK(options.threads > 0, "a pool without threads");
  state_->threads.reserve(options.threads);
  for (std::size_t i = 0; i < options.threads; ++i) {
    state_->threads.emplace_back([state = state_.get()] { state->run(); });
  }
}

ThreadPool::~ThreadPool() {
  stop();
  for (std::thread& thread : state_->threads) {
    CHECK(thread.get_id() != std::this_thread::get_id(), "a task destroys the pool it runs on");
    thread.join();
  }
}

Status ThreadPool::submit(Task task) {
  auto held = state_->queue.lock();
  if (held->stopped) return fail(ErrorCode::cancelled, "submit a task: the pool is stopped");
  if (held->tasks.size() >= state_->options.queue_max) {
    return fail(ErrorCode::busy, "submit a task: {} are queued", held->tasks.size());
  }
  held->tasks.push_back(std::move(task));
  state_->work.notify_one();
  return {};
}

void ThreadPool::stop() {
  std::deque<Task> dropped;
  {
    auto held = state_->queue.lock();
    held->stopped = true;
    dropped.swap(held->tasks);
    state_->work.notify_all();
    if (held->is_idle()) state_->idle.notify_all();
  }
  state_->stop.request_stop();  // outside the lock: it runs the stop callbacks of the tasks
}

void ThreadPool::wait_idle() {
  auto held = state_->queue.lock();
  state_->idle.wait(held.lock(), [&] { return held->is_idle(); });
}

std::size_t ThreadPool::threads() const { return state_->options.threads; }

}  // namespace cairn::base
