// SPDX-License-Identifier: Apache-2.0
#include "libsolver/schedule/run.h"

namespace cairn::solver {

void Mailbox::post(Event event) {
  {
    std::lock_guard lock(mutex_);
    if (closed_) return;
    events_.push_back(std::move(event));
  }
  arrived_.notify_one();
}

std::deque<Mailbox::Event> Mailbox::wait() {
  std::unique_lock lock(mutex_);
  arrived_.wait(lock, [&] { return !events_.empty(); });
  return std::move(events_);
}

void Mailbox::close() {
  std::deque<Event> dropped;
  {
    std::lock_guard lock(mutex_);
    closed_ = true;
    dropped = std::move(events_);
  }
  std::lock_guard lock(sink_mutex_);
  sink_ = nullptr;
}

void Mailbox::progress(const std::function<void(ProgressSink&)>& f) {
  std::lock_guard lock(sink_mutex_);
  if (sink_ != nullptr) f(*sink_);
}

}  // namespace cairn::solver
