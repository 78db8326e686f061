// SPDX-License-Identifier: Apache-2.0
// For tests that have to do something in the middle of a durable step, and not die there.
#pragma once

#include <functional>
#include <string_view>

namespace cairn::base {

// While it lives, `pass` is called with the name of each crash point that any thread passes, on that thread. One at a
// time; nothing passes a crash point while it begins or ends. pass itself passes none.
class CrashPointWatch {
 public:
  explicit CrashPointWatch(std::function<void(std::string_view)> pass);
  ~CrashPointWatch();
  CrashPointWatch(const CrashPointWatch&) = delete;
  CrashPointWatch& operator=(const CrashPointWatch&) = delete;

 private:
  const bool armed_before_;
};

}  // namespace cairn::base
