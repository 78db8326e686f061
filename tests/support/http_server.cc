// SPDX-License-Identifier: Apache-2.0
#include "tests/support/http_server.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include "libbase/result.h"

namespace cairn::test {
namespace {

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// What is left of `buffer` belongs to the next request. False: the other side is done.
bool read_request(int socket, std::string& buffer, HttpRequest& request) {
  const auto more = [&] {
    char bytes[16384];
    const ssize_t count = ::recv(socket, bytes, sizeof bytes, 0);
    if (count > 0) buffer.append(bytes, static_cast<std::size_t>(count));
    return count > 0;
  };
  std::size_t end;
  while ((end = buffer.find("\r\n\r\n")) == std::string::npos) {
    if (!more()) return false;
  }
  std::size_t at = buffer.find("\r\n");
  const std::string first = buffer.substr(0, at);
  request.method = first.substr(0, first.find(' '));
  request.target = first.substr(request.method.size() + 1, first.rfind(' ') - request.method.size() - 1);
  while (at < end) {
    at += 2;
    const std::size_t next = buffer.find("\r\n", at);
    const std::string line = buffer.substr(at, next - at);
    const std::size_t colon = line.find(':');
    if (colon != std::string::npos) {
      const std::size_t begin = line.find_first_not_of(' ', colon + 1);
      request.headers[lower(line.substr(0, colon))] = begin == std::string::npos ? "" : line.substr(begin);
    }
    at = next;
  }
  buffer.erase(0, end + 4);
  const std::size_t length = std::strtoull(request.header("content-length").c_str(), nullptr, 10);
  while (buffer.size() < length) {
    if (!more()) return false;
  }
  request.body = buffer.substr(0, length);
  buffer.erase(0, length);
  return true;
}

}  // namespace

const std::string& HttpRequest::header(const std::string& name) const {
  static const std::string none;
  const auto found = headers.find(name);
  return found == headers.end() ? none : found->second;
}

void HttpReply::send(int status, const Headers& headers, std::string_view body) {
  std::string head = fmt::format("HTTP/1.1 {} Answer\r\n", status);
  for (const auto& [name, value] : headers) head += fmt::format("{}: {}\r\n", name, value);
  if (status != 304 && status != 204) head += fmt::format("Content-Length: {}\r\n", body.size());
  head += "\r\n";
  if (!is_head_ && status != 304 && status != 204) head += body;
  raw(head);
}

void HttpReply::raw(std::string_view bytes) {
  while (!bytes.empty() && !closed_) {
    const ssize_t count = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (count <= 0) closed_ = true;
    else bytes.remove_prefix(static_cast<std::size_t>(count));
  }
}

void HttpReply::hang() {
  char byte;
  while (::recv(socket_, &byte, 1, 0) > 0) {
  }
  closed_ = true;
}

void HttpReply::close() {
  ::shutdown(socket_, SHUT_RDWR);
  closed_ = true;
}

HttpServer::HttpServer(Handler handler)
    : handler_(std::move(handler)), listener_([this](base::Fd socket) {
        const int one = 1;
        ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        auto connections = connections_.lock();
        const int number = socket.get();
        connections->push_back({std::move(socket), std::thread([this, number] { serve(number); })});
      }) {}

HttpServer::~HttpServer() {
  listener_.stop();
  std::list<Connection> all;
  {
    auto connections = connections_.lock();
    for (const Connection& each : *connections) ::shutdown(each.socket.get(), SHUT_RDWR);
    all.swap(*connections);
  }
  for (Connection& each : all) each.thread.join();
}

void HttpServer::serve(int socket) {
  std::string buffer;
  while (true) {
    HttpRequest request;
    if (!read_request(socket, buffer, request)) break;
    requests_.lock()->push_back(request);
    HttpReply reply(socket, request.method == "HEAD");
    handler_(request, reply);
    if (reply.is_closed()) break;
  }
  ::shutdown(socket, SHUT_RDWR);
}

std::string HttpServer::host() const { return fmt::format("127.0.0.1:{}", listener_.port()); }
std::string HttpServer::url(std::string_view path) const { return fmt::format("http://{}{}", host(), path); }
std::vector<HttpRequest> HttpServer::requests() const { return *requests_.lock(); }

std::size_t HttpServer::count(std::string_view method, std::string_view target) const {
  auto all = requests_.lock();
  return static_cast<std::size_t>(std::count_if(all->begin(), all->end(), [&](const HttpRequest& request) {
    return request.method == method && request.target == target;
  }));
}

}  // namespace cairn::test
