// SPDX-License-Identifier: Apache-2.0
// Servers of tests on the loopback, at a port that was free: a socket that listens, and programs that serve one connection each.
#pragma once

#include <sys/types.h>

#include <atomic>
#include <functional>
#include <string>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"

namespace cairn::test {

class LoopbackListener {
 public:
  // accepted: gets each connection, on one thread.
  explicit LoopbackListener(std::function<void(base::Fd)> accepted);
  ~LoopbackListener() { stop(); }
  LoopbackListener(const LoopbackListener&) = delete;
  LoopbackListener& operator=(const LoopbackListener&) = delete;

  int port() const { return port_; }
  void stop();  // no connection comes any more, and the thread has ended

 private:
  std::function<void(base::Fd)> accepted_;
  base::Fd listening_;
  int port_ = 0;
  std::thread accepting_;
};

// For each connection a program whose standard input and output it is, as inetd starts them.
class InetdServer {
 public:
  explicit InetdServer(std::vector<std::string> command) : command_(std::move(command)) {}
  ~InetdServer();  // kills what still runs

  int port() const { return listener_.port(); }
  int connections() const { return accepted_; }

 private:
  void start(const base::Fd& socket);

  const std::vector<std::string> command_;
  std::atomic<int> accepted_{0};
  base::Guarded<std::vector<pid_t>> children_;
  LoopbackListener listener_{[this](base::Fd socket) { start(socket); }};  // last: it uses the rest
};

}  // namespace cairn::test
