// SPDX-License-Identifier: Apache-2.0
#include "libserve/http/server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

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
#include "libserve/http/connection.h"

namespace cairn::serve {

namespace asio = boost::asio;
using base::ErrorCode;
using base::Fd;
using base::Result;
using base::Status;

namespace {

constexpr int backlog = 1024;
constexpr std::chrono::milliseconds no_descriptor_pause{50};
constexpr std::string_view turned_away =
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

struct Listening {
  Fd socket;
  int family = AF_INET;
  std::string address;  // with its port
};

Result<Listening> listen_on_path(const std::string& path) {
  sockaddr_un name{};
  name.sun_family = AF_UNIX;
  if (path.size() >= sizeof name.sun_path)
    return base::fail(ErrorCode::invalid_argument, "listen on {}: the path is too long for a socket", path);
  path.copy(name.sun_path, path.size());
  Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno(errno, "make a socket");
  const auto* address = reinterpret_cast<const sockaddr*>(&name);
  // A socket file that nobody listens at is left over.
  const Fd asking(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (asking && ::connect(asking.get(), address, sizeof name) == 0)
    return base::fail(ErrorCode::busy, "listen on {}: somebody does", path);
  if (struct ::stat found{}; ::lstat(path.c_str(), &found) == 0 && S_ISSOCK(found.st_mode)) ::unlink(path.c_str());
  const mode_t before = ::umask(0077);
  const int bound = ::bind(socket.get(), address, sizeof name);
  const int error = errno;
  ::umask(before);
  if (bound != 0) return base::fail_errno(error, "listen on {}", path);
  if (::listen(socket.get(), backlog) != 0) return base::fail_errno(errno, "listen on {}", path);
  return Listening{std::move(socket), AF_UNIX, path};
}

// HOST:PORT, or [HOST]:PORT.
Result<std::pair<std::string, std::string>> split_address(const std::string& address) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos || colon == 0 || colon + 1 == address.size())
    return base::fail(ErrorCode::invalid_argument, "\"{}\" is neither HOST:PORT nor the absolute path of a socket",
                      address);
  std::string host = address.substr(0, colon);
  if (host.front() == '[' && host.back() == ']') host = host.substr(1, host.size() - 2);
  return std::pair(host, address.substr(colon + 1));
}

std::string shown(const sockaddr_storage& name, socklen_t size) {
  std::array<char, NI_MAXHOST> host{};
  std::array<char, NI_MAXSERV> port{};
  ::getnameinfo(reinterpret_cast<const sockaddr*>(&name), size, host.data(), host.size(), port.data(), port.size(),
                NI_NUMERICHOST | NI_NUMERICSERV);
  const bool six = name.ss_family == AF_INET6;
  return fmt::format("{}{}{}:{}", six ? "[" : "", host.data(), six ? "]" : "", port.data());
}

Result<Listening> listen_on_port(const std::string& address) {
  const auto [host, port] = TRY(split_address(address));
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); code != 0)
    return base::fail(ErrorCode::invalid_argument, "listen on {}: {}", address, ::gai_strerror(code));
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> names(found, ::freeaddrinfo);
  Fd socket(::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket) return base::fail_errno(errno, "make a socket");
  const int yes = 1;
  ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
  if (::bind(socket.get(), found->ai_addr, found->ai_addrlen) != 0 || ::listen(socket.get(), backlog) != 0) {
    if (errno == EADDRINUSE) return base::fail(ErrorCode::busy, "listen on {}: somebody does", address);
    return base::fail_errno(errno, "listen on {}", address);
  }
  sockaddr_storage bound{};
  socklen_t size = sizeof bound;
  ::getsockname(socket.get(), reinterpret_cast<sockaddr*>(&bound), &size);
  return Listening{std::move(socket), found->ai_family, shown(bound, size)};
}

Result<Listening> listen_on(const std::string& address) {
  return address.starts_with('/') ? listen_on_path(address) : listen_on_port(address);
}

}  // namespace

struct Server::State {
  State(const HttpOptions& options_in, DurableWaits& waits, Traffic& traffic, Handler handler_in,
        Listening listening_in)
      : options(options_in),
        handler(std::move(handler_in)),
        listening(std::move(listening_in)),
        workers(options.workers),
        shared{options, waits, traffic, handler, workers, draining},
        acceptor(io, listening.socket.release()) {}

  asio::awaitable<void> accept_all();
  void admit(int socket);
  void forget(const std::shared_ptr<Connection>& connection);
  void stop_listening();
  void each_connection(void (Connection::*what)());

  const HttpOptions options;
  const Handler handler;
  Listening listening;
  std::atomic<bool> draining{false};
  asio::io_context io;
  asio::thread_pool workers;
  const Shared shared;
  asio::posix::stream_descriptor acceptor;
  asio::executor_work_guard<asio::io_context::executor_type> work{io.get_executor()};
  base::Guarded<std::unordered_set<std::shared_ptr<Connection>>> connections;
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
    ++shared.traffic.turned_away;
    (void)::send(socket, turned_away.data(), turned_away.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return;
  }
  const int yes = 1;
  if (listening.family != AF_UNIX) ::setsockopt(socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  const auto strand = asio::make_strand(io);
  boost::system::error_code error;
  asio::generic::stream_protocol::socket stream(strand);
  stream.assign(asio::generic::stream_protocol(listening.family, 0), owned.get(), error);
  if (error) return;
  (void)owned.release();
  ++shared.traffic.accepted;
  const auto connection = std::make_shared<Connection>(shared, Connection::Stream(std::move(stream)));
  connections.lock()->insert(connection);
  ++shared.traffic.connections;
  asio::co_spawn(strand, connection->run(), [this, connection](const std::exception_ptr&) { forget(connection); });
}

void Server::State::forget(const std::shared_ptr<Connection>& connection) {
  auto all = connections.lock();
  all->erase(connection);
  --shared.traffic.connections;
  fewer.notify_all();  // under the lock: whoever waits may end this object as soon as he can take it
}

void Server::State::each_connection(void (Connection::*what)()) {
  std::vector<std::shared_ptr<Connection>> all;
  {
    auto held = connections.lock();
    all.assign(held->begin(), held->end());
  }
  for (const auto& connection : all)
    asio::post(connection->executor(), [connection, what] { ((*connection).*what)(); });
}

void Server::State::stop_listening() {
  if (draining.exchange(true)) return;
  if (listening.family == AF_UNIX) ::unlink(listening.address.c_str());
  asio::post(io, [this] { acceptor.close(); });
}

Server::Server(std::unique_ptr<State> state) : state_(std::move(state)) {}

Result<std::unique_ptr<Server>> Server::start(const HttpOptions& options, DurableWaits& waits, Traffic& traffic,
                                              Handler handler) {
  Listening listening = TRY(listen_on(options.address));
  auto state = std::make_unique<State>(options, waits, traffic, std::move(handler), std::move(listening));
  asio::co_spawn(state->io, state->accept_all(), asio::detached);
  for (unsigned i = 0; i < std::max(options.threads, 1u); ++i)
    state->threads.emplace_back([&io = state->io] { io.run(); });
  return std::unique_ptr<Server>(new Server(std::move(state)));
}

const std::string& Server::address() const { return state_->listening.address; }

void Server::drain(std::chrono::milliseconds at_most) {
  state_->stop_listening();
  state_->each_connection(&Connection::end_when_idle);
  auto all = state_->connections.lock();
  state_->fewer.wait_for(all.lock(), at_most, [&] { return all->empty(); });
}

// What a worker is at comes to its end; nothing on the network is waited for.
Server::~Server() {
  state_->stop_listening();
  state_->each_connection(&Connection::end_now);
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
