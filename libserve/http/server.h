// SPDX-License-Identifier: Apache-2.0
// The door of Boost.Asio and Boost.Beast: sockets, threads and the connections on them. Requests go to a Handler.
#pragma once

#include <atomic>
#include <memory>
#include <string>

#include "libserve/http/durable_waits.h"
#include "libserve/http/message.h"
#include "libserve/http/traffic.h"
#include "libserve/http_server.h"

namespace cairn::serve {

// Thread-safe.
class Server {
 public:
  static base::Result<std::unique_ptr<Server>> start(const HttpOptions& options, DurableWaits& waits, Traffic& traffic, Handler handler);
  ~Server();
  const std::string& address() const;
  void drain(std::chrono::milliseconds at_most);

  struct State;  // private

 private:
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve
