// SPDX-License-Identifier: Apache-2.0
#include "bench/serve/http_load.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>

namespace cairn::bench {

namespace {

[[noreturn]] void fail(const std::string& why) {
  std::fprintf(stderr, "serve_load: %s\n", why.c_str());
  std::exit(1);
}

void send_all(int socket, std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t sent = ::send(socket, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (sent <= 0) fail("the server has ended the connection");
    bytes.remove_prefix(static_cast<std::size_t>(sent));
  }
}

}  // namespace

HttpConnection::HttpConnection(const std::string& address) : host_(address) {
  const std::size_t colon = address.rfind(':');
  addrinfo hints{}, *found = nullptr;
  hints.ai_socktype = SOCK_STREAM;
  if (colon == std::string::npos || ::getaddrinfo(address.substr(0, colon).c_str(), address.substr(colon + 1).c_str(), &hints, &found) != 0)
    fail("no HOST:PORT: " + address);
  socket_ = ::socket(found->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int one = 1;
  if (socket_ < 0 || ::connect(socket_, found->ai_addr, found->ai_addrlen) != 0) fail("nobody listens at " + address);
  ::setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ::freeaddrinfo(found);
}

HttpConnection::~HttpConnection() { ::close(socket_); }

std::uint64_t HttpConnection::get(const std::string& path) { return exchange("GET " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\n\r\n", {}); }

void HttpConnection::put(const std::string& path, std::string_view body) {
  exchange("PUT " + path + " HTTP/1.1\r\nHost: " + host_ + "\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n", body);
}

std::uint64_t HttpConnection::exchange(std::string_view head, std::string_view body) {
  send_all(socket_, head);
  send_all(socket_, body);
  std::array<char, 256 * 1024> piece;
  std::size_t end = std::string::npos;
  while ((end = buffer_.find("\r\n\r\n")) == std::string::npos) {
    const ssize_t got = ::recv(socket_, piece.data(), piece.size(), 0);
    if (got <= 0) fail("the server has ended the connection");
    buffer_.append(piece.data(), static_cast<std::size_t>(got));
  }
  const std::string answer = buffer_.substr(0, end);
  if (answer.size() < 12 || answer[9] != '2') fail("an answer of " + answer.substr(0, answer.find('\r')));
  std::uint64_t size = 0;
  for (std::size_t at = answer.find('\n'); at != std::string::npos; at = answer.find('\n', at + 1))
    if (::strncasecmp(answer.c_str() + at + 1, "content-length:", 15) == 0) size = std::strtoull(answer.c_str() + at + 16, nullptr, 10);
  std::uint64_t have = buffer_.size() - end - 4;
  while (have < size) {
    const ssize_t got = ::recv(socket_, piece.data(), piece.size(), 0);
    if (got <= 0) fail("the server has ended the connection");
    have += static_cast<std::uint64_t>(got);
  }
  buffer_.clear();
  return size;
}

}  // namespace cairn::bench
