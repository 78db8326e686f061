// SPDX-License-Identifier: Apache-2.0
// Guarded<State>: a value that can be reached only with its lock held. Whatever needs the lock is a method of State, so
// "the caller must hold the lock" is never a comment.
#pragma once

#include <mutex>
#include <utility>

namespace cairn::base {

template <class State>
class Guarded {
 public:
  template <class... Args>
  explicit Guarded(Args&&... args) : state_(std::forward<Args>(args)...) {}

  class Access {
   public:
    State* operator->() { return state_; }
    State& operator*() { return *state_; }
    // For condition variables: std::condition_variable_any::wait(access.lock(), ...).
    std::unique_lock<std::mutex>& lock() { return lock_; }

   private:
    friend class Guarded;
    Access(std::mutex& mutex, State& state) : lock_(mutex), state_(&state) {}
    std::unique_lock<std::mutex> lock_;
    State* state_;
  };

  // Locked while the returned object lives. Never hold it across I/O, a callback or another library (docs/locks.md).
  Access lock() { return Access(mutex_, state_); }

 private:
  std::mutex mutex_;
  State state_;
};

}  // namespace cairn::base
