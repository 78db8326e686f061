// SPDX-License-Identifier: Apache-2.0
// A network of a test's own, in place of the machine's: nothing but a loopback, with one more address as if it were
// somewhere outside.
#pragma once

#include <functional>
#include <string>

#include "libbase/result.h"

namespace cairn::test {

inline constexpr const char* outside_address = "198.51.100.7";  // one for documentation (RFC 5737)

// Runs f on a thread in such a network; threads and processes that f starts are in it, too.
base::Status in_own_network(const std::function<void()>& f);

// Listens on all addresses of the network of the thread that makes it, and says `greeting` to who connects.
class Greeter {
 public:
  explicit Greeter(std::string greeting);
  ~Greeter();
  Greeter(const Greeter&) = delete;
  Greeter& operator=(const Greeter&) = delete;
  int port() const { return port_; }

 private:
  struct State;
  State* state_;
  int port_ = 0;
};

}  // namespace cairn::test
