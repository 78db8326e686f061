// SPDX-License-Identifier: Apache-2.0
#include "libserve/sockets/listening.h"

#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <memory>
#include <utility>

namespace cairn::serve {

using base::ErrorCode;
using base::Fd;
using base::Result;

namespace {

constexpr int backlog = 1024;

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

Result<Listening> listen_on_passed(const std::string& address, std::string_view number) {
  int fd = -1, listens = 0;
  const auto end = std::from_chars(number.data(), number.data() + number.size(), fd);
  socklen_t size = sizeof listens;
  const bool is_number = end.ec == std::errc() && end.ptr == number.data() + number.size() && fd >= 0;
  if (!is_number || ::getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) != 0 || listens == 0)
    return base::fail(ErrorCode::invalid_argument, "{} is no socket that listens", address);
  Fd socket(fd);
  if (::fcntl(fd, F_SETFD, FD_CLOEXEC) != 0 || ::fcntl(fd, F_SETFL, O_NONBLOCK) != 0)
    return base::fail_errno(errno, "take over {}", address);
  sockaddr_storage bound{};
  size = sizeof bound;
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &size);
  const bool is_file = bound.ss_family == AF_UNIX;
  return Listening{std::move(socket), bound.ss_family,
                   is_file ? reinterpret_cast<const sockaddr_un&>(bound).sun_path : shown(bound, size), true};
}

}  // namespace

Result<Listening> listen_on(const std::string& address) {
  if (address.starts_with("fd:")) return listen_on_passed(address, std::string_view(address).substr(3));
  return address.starts_with('/') ? listen_on_path(address) : listen_on_port(address);
}

}  // namespace cairn::serve
