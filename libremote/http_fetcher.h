// SPDX-License-Identifier: Apache-2.0
// The fetcher over libcurl: HTTP/1.1 and HTTP/2, with the proxies that the environment names and the certificates that
// the machine trusts. Connections are kept for later requests.
#pragma once

#include <chrono>
#include <memory>
#include <string>

#include "libcache/fetcher.h"

namespace cairn::remote {

struct HttpOptions {
  std::chrono::milliseconds connect_timeout{30'000};
  // A server has to send at least stall_bytes_min, or all that is left, within each such time that somebody waits for it.
  std::chrono::milliseconds stall_timeout{60'000};
  std::size_t stall_bytes_min = 1024;
  std::size_t redirects_max = 10;
  std::size_t header_bytes_max = 256 << 10;  // of one response
  std::string ca_file = {};                  // certificates to trust instead of the machine's; PEM
};

// What users expect to be heeded: SSL_CERT_FILE, the certificates to trust.
HttpOptions http_options_of_environment();

std::unique_ptr<cache::Fetcher> make_http_fetcher(HttpOptions options = {});

}  // namespace cairn::remote
