// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cerrno>
#include <condition_variable>
#include <thread>
#include <unordered_set>

#include "libbase/fs/fd.h"
#include "libbase/log/log.h"
#include "libbase/sync.h"
#include "libserve/sockets/listening.h"
#include "libserve/sockets/tls_context.h"

namespace cairn::serve {

namespace asio = boost::asio;
using base::Fd;
using base::Result;

namespace {

constexpr std::chrono::milliseconds no_descriptor_pause{50};

Peer peer_of(int socket, int family) {
  if (family == AF_UNIX) return {.uid = uid_of_peer(socket)};
  sockaddr_storage name{};
  socklen_t size = sizeof name;
  std::array<char, NI_MAXHOST> host{};
  if (::getpeername(socket, reinterpret_cast<sockaddr*>(&name), &size) == 0)
    ::getnameinfo(reinterpret_cast<const sockaddr*>(&name), size, host.data(), host.size(), nullptr, 0, NI_NUMERICHOST);
  return {.address = host.data()};
}

}  // namespace

std::optional<uid_t> uid_of_peer(int socket) {
  ucred credentials{};
  socklen_t size = sizeof credentials;
  const bool known = ::getsockopt(socket, SOL_SOCKET, SO_PEERCRED, &credentials, &size) == 0;
  return known ? std::optional(credentials.uid) : std::nullopt;
}

struct Server::State {
  State(const ServerOptions& options_in, Traffic& traffic_in, MakeConnection make_in, Listening listening_in)
      : options(options_in),
        traffic(traffic_in),
        make(std::move(make_in)),
        listening(std::move(listening_in)),
        workers(options.workers),
        acceptor(io, listening.socket.release()) {}

  asio::awaitable<void> accept_all();
  void admit(int socket);
  void forget(const std::shared_ptr<SocketConnection>& connection);
  void stop_listening();
  void each_connection(void (SocketConnection::*what)());

  const ServerOptions options;
  Traffic& traffic;
  const MakeConnection make;
  std::unique_ptr<asio::ssl::context> tls;
  Listening listening;
  std::atomic<bool> draining{false};
  asio::io_context io;
  asio::thread_pool workers;
  asio::posix::stream_descriptor acceptor;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  base::Guarded<std::unordered_set<std::shared_ptr<SocketConnection>>> connections;
  std::condition_variable_any fewer;
  std::vector<std::jthread> threads;
};

asio::awaitable<void> Server::State::accept_all() {
  asio::steady_timer pause(io);
  for (;;) {
    const auto [error] =
        co_await acceptor.async_wait(asio::posix::stream_descriptor::wait_read, asio::as_tuple(asio::use_awaitable));
    if (error || draining.load()) co_return;
    bool out_of_descriptors = false;
    for (;;) {
      const int socket = ::accept4(acceptor.native_handle(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK);
      if (socket < 0 && (errno == EINTR || errno == ECONNABORTED)) continue;
      out_of_descriptors = socket < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS);
      if (socket < 0) break;
      admit(socket);
    }
    if (!out_of_descriptors) continue;
    base::log_warning("no descriptor is left for another connection");
    pause.expires_after(no_descriptor_pause);
    co_await pause.async_wait(asio::as_tuple(asio::use_awaitable));
  }
}

void Server::State::admit(int socket) {
  Fd owned(socket);
  if (connections.lock()->size() >= options.connections_max) {
    ++traffic.turned_away;
    if (!tls) (void)::send(socket, options.turned_away.data(), options.turned_away.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  const int yes = 1;
  if (listening.family != AF_UNIX) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  Peer peer = peer_of(socket, listening.family);
  const auto strand = asio::make_strand(io);
  boost::system::error_code error;
  asio::generic::stream_protocol::socket stream(strand);
  stream.assign(asio::generic::stream_protocol(listening.family, 0), owned.get(), error);
  if (error) return;
  (void)owned.release();
  ++traffic.accepted;
  Stream::Plain plain(std::move(stream));
  const std::shared_ptr<SocketConnection> connection =
      make({workers, draining}, tls ? Stream(std::move(plain), *tls) : Stream(std::move(plain)), std::move(peer));
  connections.lock()->insert(connection);
  ++traffic.connections;
  asio::co_spawn(strand, connection->run(), [this, connection](const std::exception_ptr&) { forget(connection); });
}

void Server::State::forget(const std::shared_ptr<SocketConnection>& connection) {
  auto all = connections.lock();
  all->erase(connection);
  --traffic.connections;
  fewer.notify_all();  // under the lock: whoever waits may end this object as soon as he can take it
}

void Server::State::each_connection(void (SocketConnection::*what)()) {
  std::vector<std::shared_ptr<SocketConnection>> all;
  {
    auto held = connections.lock();
    all.assign(held->begin(), held->end());
  }
  for (const auto& connection : all)
    asio::post(connection->executor(), [connection, what] { ((*connection).*what)(); });
}

void Server::State::stop_listening() {
  if (draining.exchange(true)) return;
  if (listening.family == AF_UNIX && !listening.is_passed) ::unlink(listening.address.c_str());
  asio::post(io, [this] { acceptor.close(); });
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(const ServerOptions& options, Traffic& traffic, MakeConnection make) {
  Listening listening = TRY(listen_on(options.address));
  auto state = std::make_unique<State>(options, traffic, std::move(make), std::move(listening));
  if (options.tls && state->listening.family != AF_UNIX) state->tls = TRY(make_tls_context(*options.tls));
  asio::co_spawn(state->io, state->accept_all(), asio::detached);
  for (unsigned i = 0; i < std::max(options.threads, 1u); ++i)
    state->threads.emplace_back([&io = state->io] { io.run(); });
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::string& Server::address() const { return state_->listening.address; }

void Server::drain(std::chrono::milliseconds at_most) {
  state_->stop_listening();
  state_->each_connection(&SocketConnection::end_when_idle);
  auto all = state_->connections.lock();
  state_->fewer.wait_for(all.lock(), at_most, [&] { return all->empty(); });
}

// What a worker is at comes to its end; nothing on the network is waited for.
Server::~Server() {
  state_->stop_listening();
  state_->each_connection(&SocketConnection::end_now);
  {
    auto all = state_->connections.lock();
    state_->fewer.wait(all.lock(), [&] { return all->empty(); });
  }
  state_->work.reset();
  state_->io.stop();
  state_->threads.clear();
  state_->workers.join();
}

}  // namespace cairn::serve
