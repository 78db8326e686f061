// SPDX-License-Identifier: Apache-2.0
// Uploads that were cut off, kept for a while so that their clients go on where they were.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "libbase/sync.h"
#include "libserve/doors/receiver.h"

namespace cairn::serve {

struct Upload {
  std::unique_ptr<Receiver> receiver;
  std::uint64_t received = 0;  // bytes of the stream, compressed if it is
};

// Thread-safe. An upload is with one call or here.
class Uploads {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kept_max = 256;
  static constexpr std::chrono::minutes kept_for{5};

  // Of this resource name, if it is here.
  std::optional<Upload> take(const std::string& name);
  // The oldest goes if there are too many.
  void keep(const std::string& name, Upload upload, Clock::time_point now = Clock::now());
  // What has arrived; of one that is with a call what had arrived when it was taken.
  std::optional<std::uint64_t> received(const std::string& name);
  void begun(const std::string& name, std::uint64_t received);
  void ended(const std::string& name);
  void sweep(Clock::time_point now = Clock::now());  // drops those that nobody came back for

 private:
  struct Kept {
    Upload upload;
    Clock::time_point since;
  };
  struct State {
    std::map<std::string, Kept> kept;
    std::map<std::string, std::uint64_t> with_calls;
  };
  base::Guarded<State> state_;
};

}  // namespace cairn::serve
