// SPDX-License-Identifier: Apache-2.0
// A stop token of its own for what may not take longer than so long.
#pragma once

#include <chrono>
#include <condition_variable>
#include <functional>
#include <mutex>
#include <stop_token>
#include <thread>

#include "libbase/result.h"

namespace cairn::solver {

class TimeLimit {
 public:
  TimeLimit(const std::stop_token& outer, std::chrono::milliseconds time)
      : outer_(outer), time_(time), pass_on_(outer, [this] { ending_.request_stop(); }), thread_([this](std::stop_token done) {
          std::mutex mutex;
          std::condition_variable_any wake;
          std::unique_lock lock(mutex);
          wake.wait_for(lock, done, time_, [] { return false; });
          if (!done.stop_requested()) ending_.request_stop();
        }) {}

  std::stop_token token() const { return ending_.get_token(); }
  // What came of it: what was stopped because its time was over is an io error that says so.
  template <class T>
  base::Result<T> judge(base::Result<T> result) const {
    if (result || result.error().code != base::ErrorCode::cancelled || outer_.stop_requested()) return result;
    return base::fail(base::ErrorCode::io, "no answer within {} seconds",
                      std::chrono::duration<double>(time_).count());
  }

 private:
  const std::stop_token outer_;
  const std::chrono::milliseconds time_;
  std::stop_source ending_;
  std::stop_callback<std::function<void()>> pass_on_;
  std::jthread thread_;  // last: it uses the rest
};

}  // namespace cairn::solver
