// SPDX-License-Identifier: Apache-2.0
// One connection to an HTTP/1.1 server, kept: a request, its answer, the next one.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace cairn::bench {

class HttpConnection {
 public:
  // Ends the program if nobody listens there.
  explicit HttpConnection(const std::string& address);
  ~HttpConnection();
  HttpConnection(const HttpConnection&) = delete;
  HttpConnection& operator=(const HttpConnection&) = delete;

  // The bytes of the body; ends the program if the status is not 2xx.
  std::uint64_t get(const std::string& path);
  void put(const std::string& path, std::string_view body);

 private:
  std::uint64_t exchange(std::string_view head, std::string_view body);
  std::string host_;
  int socket_ = -1;
  std::string buffer_;
};

}  // namespace cairn::bench
