// SPDX-License-Identifier: Apache-2.0
// Ctrl-C and SIGTERM as a stop token: the first asks everything to end well, the second ends the process.
#pragma once

#include <stop_token>

namespace cairn::cachectl {

// At most one at a time. Made before other threads, so that they inherit the signal mask.
class Interrupt {
 public:
  Interrupt();
  ~Interrupt();
  std::stop_token token() const { return source_.get_token(); }

 private:
  std::stop_source source_;
};

}  // namespace cairn::cachectl
