// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 server on the loopback whose answers a test writes, good ones and bad ones; a thread for each connection.
#pragma once

#include <functional>
#include <list>
#include <map>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/sync.h"
#include "tests/support/loopback_listener.h"

namespace cairn::test {

struct HttpRequest {
  std::string method, target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  const std::string& header(const std::string& name) const;  // "" if there is none
};

class HttpReply {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  // A whole answer, with its Content-Length; the body is left out for HEAD.
  void send(int status, const Headers& headers, std::string_view body);
  void redirect(int status, const std::string& location) { send(status, {{"Location", location}}, ""); }
  void raw(std::string_view bytes);  // whatever it is
  // Sends nothing more and keeps the connection, until the other side or the server closes it.
  void hang();
  void close();  // now
  bool is_closed() const { return closed_; }

 private:
  friend class HttpServer;
  HttpReply(int socket, bool is_head) : socket_(socket), is_head_(is_head) {}
  int socket_;
  bool is_head_;
  bool closed_ = false;
};

class HttpServer {
 public:
  // Called on many threads, for one request each.
  using Handler = std::function<void(const HttpRequest&, HttpReply&)>;
  explicit HttpServer(Handler handler);
  ~HttpServer();  // closes all connections
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;

  std::string url(std::string_view path) const;  // http://127.0.0.1:PORT<path>
  std::string host() const;                      // 127.0.0.1:PORT
  std::vector<HttpRequest> requests() const;     // all so far
  std::size_t count(std::string_view method, std::string_view target) const;

 private:
  struct Connection {
    base::Fd socket;
    std::thread thread;
  };
  void serve(int socket);

  Handler handler_;
  mutable base::Guarded<std::vector<HttpRequest>> requests_;
  base::Guarded<std::list<Connection>> connections_;
  LoopbackListener listener_;  // last: it uses the rest
};

}  // namespace cairn::test
