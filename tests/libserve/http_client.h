// SPDX-License-Identifier: Apache-2.0
// An HTTP/1.1 client over a real socket that does what it is told, bad things included, and a store that is served to it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libserve/http_server.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::serve {

struct Got {
  int status = 0;  // 0: the connection ended before an answer
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;                            // without its chunks
  bool whole = false;                          // it was all there
  const std::string& header(const std::string& name) const;
};

class Client {
 public:
  explicit Client(const std::string& address);  // HOST:PORT, or a path
  void send(std::string_view bytes);            // whoever does not listen any more is no error
  void end_of_sending();
  // The next answer; head_only: of a HEAD.
  Got receive(bool head_only = false);
  bool is_closed();  // by the other side, and nothing more to read
  // A request with these header lines ("Name: value\r\n" each) and its answer.
  Got ask(const std::string& method, const std::string& target, std::string_view body = {}, const std::string& headers = {});
  int socket() const { return socket_.get(); }

 private:
  bool read_more();
  std::string take(std::size_t size, bool& whole);
  std::string take_line(bool& whole);
  base::Fd socket_;
  std::string buffer_;
};

std::string request_text(const std::string& method, const std::string& target, std::string_view body = {}, const std::string& headers = {});

// A store of its own, served on the loopback.
struct Served {
  explicit Served(HttpOptions wanted = {});
  ~Served() { stop(); }
  void stop() { server.reset(); }
  Got ask(const std::string& method, const std::string& target, std::string_view body = {}, const std::string& headers = {}) {
    return Client(server->address()).ask(method, target, body, headers);
  }
  std::vector<std::string> findings();  // after the server has ended

  cache::OpenStore store;
  std::unique_ptr<HttpServer> server;
};

std::string cas_path(const std::string& bytes);  // "/cas/<its hash>"

}  // namespace cairn::serve
