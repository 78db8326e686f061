// SPDX-License-Identifier: Apache-2.0
#include "tests/libserve/http_client.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <charconv>

namespace cairn::serve {

namespace {

base::Fd connect_to(const std::string& address) {
  if (address.starts_with('/')) {
    sockaddr_un name{};
    name.sun_family = AF_UNIX;
    address.copy(name.sun_path, sizeof name.sun_path - 1);
    base::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0, "connect to {}: {}", address, base::errno_text(errno));
    return socket;
  }
  sockaddr_in name{};
  name.sin_family = AF_INET;
  name.sin_port = htons(static_cast<std::uint16_t>(std::stoi(address.substr(address.rfind(':') + 1))));
  name.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  base::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  CHECK(::connect(socket.get(), reinterpret_cast<const sockaddr*>(&name), sizeof name) == 0, "connect to {}: {}", address, base::errno_text(errno));
  return socket;
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

}  // namespace

const std::string& Got::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

Client::Client(const std::string& address) : socket_(connect_to(address)) {
  const timeval patience{.tv_sec = 60, .tv_usec = 0};
  ::setsockopt(socket_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
}

void Client::send(std::string_view bytes) {
  while (!bytes.empty()) {
    const ssize_t count = ::send(socket_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) return;
    bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void Client::end_of_sending() { ::shutdown(socket_.get(), SHUT_WR); }

bool Client::read_more() {
  char piece[65536];
  const ssize_t count = ::recv(socket_.get(), piece, sizeof piece, 0);
  if (count <= 0) return false;
  buffer_.append(piece, static_cast<std::size_t>(count));
  return true;
}

std::string Client::take(std::size_t size, bool& whole) {
  while (buffer_.size() < size && (whole = read_more())) continue;
  std::string taken = buffer_.substr(0, size);
  buffer_.erase(0, taken.size());
  return taken;
}

std::string Client::take_line(bool& whole) {
  std::size_t end = 0;
  while ((end = buffer_.find("\r\n")) == std::string::npos)
    if (!(whole = read_more())) return {};
  std::string line = buffer_.substr(0, end);
  buffer_.erase(0, end + 2);
  return line;
}

Got Client::receive(bool head_only) {
  Got got;
  bool whole = true;
  const std::string first = take_line(whole);
  if (!whole || !first.starts_with("HTTP/1.1 ")) return got;
  got.status = std::stoi(first.substr(9));
  for (std::string line = take_line(whole); whole && !line.empty(); line = take_line(whole)) {
    const std::size_t colon = line.find(": ");
    CHECK(colon != std::string::npos, "a header without a colon: {}", line);
    got.headers[lower(line.substr(0, colon))] = line.substr(colon + 2);
  }
  if (head_only || got.status == 204 || got.status == 304 || got.status == 100) {
    got.whole = whole;
    return got;
  }
  if (got.header("transfer-encoding") == "chunked") {
    for (;;) {
      const std::string size_text = take_line(whole);
      std::size_t size = 0;
      std::from_chars(size_text.data(), size_text.data() + size_text.size(), size, 16);
      got.body += take(size, whole);
      take_line(whole);
      if (size == 0 || !whole) break;
    }
  } else {
    got.body = take(std::stoull(got.header("content-length")), whole);
  }
  got.whole = whole;
  return got;
}

bool Client::is_closed() { return buffer_.empty() && !read_more() && buffer_.empty(); }

std::string request_text(const std::string& method, const std::string& target, std::string_view body, const std::string& headers) {
  std::string text = method + " " + target + " HTTP/1.1\r\nHost: test\r\n" + headers;
  if (method == "PUT" || method == "POST") text += "Content-Length: " + std::to_string(body.size()) + "\r\n";
  return text + "\r\n" + std::string(body);
}

Got Client::ask(const std::string& method, const std::string& target, std::string_view body, const std::string& headers) {
  send(request_text(method, target, body, headers));
  return receive(method == "HEAD");
}

Served::Served(HttpOptions wanted) {
  wanted.spool = store.root() / "tmp";
  if (wanted.address == HttpOptions().address) wanted.address = "127.0.0.1:0";
  server = cache::must(HttpServer::start(*store.cache, std::move(wanted)));
}

std::vector<std::string> Served::findings() {
  stop();
  cache::must(store.cache->prune({.dry_run = true}));  // what was begun has its outcome
  return store.findings();
}

std::string cas_path(const std::string& bytes) { return "/cas/" + base::digest_of<BlobDigest>(bytes).hex(); }

}  // namespace cairn::serve
