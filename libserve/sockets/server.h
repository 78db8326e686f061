// SPDX-License-Identifier: Apache-2.0
// What the protocols that we speak over Boost.Asio share: a listening socket, threads, and the connections on them.
// What is said on a connection is the protocol's.
#pragma once

#include <atomic>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/strand.hpp>
#include <boost/asio/thread_pool.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libserve/sockets/stream.h"
#include "libserve/sockets/traffic.h"
#include "libserve/tls.h"

namespace cairn::serve {

// A coroutine on a strand; all of its functions run there.
class SocketConnection {
 public:
  virtual ~SocketConnection() = default;
  virtual boost::asio::awaitable<void> run() = 0;  // until it is over
  virtual void end_when_idle() = 0;                // one without a request ends now, another one after it
  virtual void end_now() = 0;
  virtual Stream::executor_type executor() = 0;
};

struct ServerOptions {
  std::string address;   // as listen_on takes it
  unsigned threads = 4;  // for sockets and lookups
  unsigned workers = 8;  // for what waits for disks
  std::size_t connections_max = 4096;
  std::string_view turned_away;  // what further ones are told; a literal
  std::optional<TlsFiles> tls{};  // not of unix sockets
};
// What its connections get of a server.
struct ServerContext {
  boost::asio::thread_pool& workers;
  const std::atomic<bool>& draining;
};
using MakeConnection =
    std::function<std::shared_ptr<SocketConnection>(ServerContext context, Stream stream, Peer peer)>;

// Thread-safe.
class Server {
 public:
  // Errors: as listen_on, and of make_tls_context.
  static base::Result<std::unique_ptr<Server>> start(const ServerOptions& options, Traffic& traffic,
                                                     MakeConnection make);
  ~Server();
  const std::string& address() const;
  void drain(std::chrono::milliseconds at_most);

  struct State;  // private

 private:
  explicit Server(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve
