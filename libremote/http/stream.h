// SPDX-License-Identifier: Apache-2.0
// A connection that bytes go over both ways, for protocols that are not HTTP: curl finds the address, connects and does
// TLS.
#pragma once

#include <curl/curl.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "libbase/fs/fd.h"
#include "libbase/result.h"

namespace cairn::remote {

struct StreamAddress {
  std::string host;
  std::uint16_t port = 0;
  std::string unix_socket = {};  // a path: instead of host and port
  bool has_tls = false;
  std::string ca_file = {};  // certificates to trust instead of the machine's; PEM
};

class Stream {
 public:
  using Deadline = std::chrono::steady_clock::time_point;
  // Errors: io (no connection, no trust in its certificate, the deadline), cancelled.
  static base::Result<std::unique_ptr<Stream>> open(const StreamAddress& address, Deadline deadline,
                                                    std::stop_token stop);
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  // Whether that was all.
  using Take = std::function<base::Result<bool>(std::string_view bytes)>;
  // Sends and, at the same time, gives what arrives to `take`, until all is sent and `take` has all. After an error it
  // is of no use any more. Errors: io (it was closed, the deadline), cancelled, and those of `take`.
  base::Status exchange(std::string_view bytes, const Take& take, Deadline deadline, const std::stop_token& stop);

 private:
  explicit Stream(std::string name);
  base::Status connect(const StreamAddress& address, Deadline deadline, const std::stop_token& stop);
  base::Result<std::size_t> send_some(std::string_view bytes);
  base::Result<bool> receive(const Take& take);  // what is there now
  base::Status wait(short events, Deadline deadline, const std::stop_token& stop);

  const std::string name_;
  CURL* easy_;
  curl_socket_t socket_ = CURL_SOCKET_BAD;
  base::Fd woken_;  // by a request to stop
};

}  // namespace cairn::remote
