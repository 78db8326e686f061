// SPDX-License-Identifier: Apache-2.0
// A client of Redis' protocol that does what it is told, bad things included, and a store that is served to it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libserve/resp_server.h"
#include "tests/libserve/http_client.h"

namespace cairn::serve {

std::string command_text(const std::vector<std::string>& words);

class RespClient {
 public:
  explicit RespClient(const std::string& address) : client_(address) {}
  void send(std::string_view bytes) { client_.send(bytes); }
  // The next answer: "+OK", "-ERR ...", ":1", "$" and the value, "nil"; of an array "*" and its answers; "" at the end.
  std::string receive();
  std::string ask(const std::vector<std::string>& words);
  int socket() const { return client_.socket(); }

 private:
  bool read_more();
  Client client_;
  std::string buffer_;
};

struct RespServed {
  explicit RespServed(RespOptions wanted = {});
  std::vector<std::string> findings();  // after the server has ended

  cache::OpenStore store;
  cache::SettableClock clock;
  std::unique_ptr<RespServer> server;
};

}  // namespace cairn::serve
