// SPDX-License-Identifier: Apache-2.0
// A store served over HTTP/1.1 to builders that speak it: Bazel, ccache, sccache, Gradle, Turborepo, Nx
// (docs/guides/cached.md). Protocol in, libcache out: nothing is kept here.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/tiers.h"
#include "libserve/access.h"
#include "libserve/tls.h"

namespace cairn::serve {

struct HttpOptions {
  std::string address =
      "127.0.0.1:8080";  // HOST:PORT, [HOST]:PORT (port 0: a free one), or the absolute path of a socket
  // For bodies that come in compressed: a directory that its owner empties. None: they are refused.
  std::optional<base::HostPath> spool{};
  unsigned threads = 4;                // for sockets and lookups
  unsigned workers = 8;                // for what waits for disks
  std::size_t connections_max = 4096;  // further ones are told to come again
  std::size_t header_bytes_max = 16 * 1024;
  std::uint64_t body_max = std::uint64_t{64} << 30;
  std::int64_t live_bytes_max = 0;  // of the store; what does not fit is answered with 507. 0: only the disk says
  cache::Tiers* tiers = nullptr;  // asked for what is not here, and sent what is put; outlives the server
  std::chrono::milliseconds idle_time{120'000};   // a connection without a request
  std::chrono::milliseconds header_time{10'000};  // from its first byte to its last
  std::chrono::milliseconds piece_time{30'000};   // for 256 KiB of a body, in or out
  const Access* access = nullptr;                 // outlives the server; nullptr: everybody may do everything
  std::optional<TlsFiles> tls{};                  // of a HOST:PORT: it speaks TLS and nothing else
  std::function<std::string()> more_metrics{};    // of other doors, for /metrics; called on any thread
};

class HttpServer {
 public:
  // Listens and serves. The cache outlives it. Errors: invalid_argument (the address, a file of TLS), busy (somebody listens there),
  // io.
  static base::Result<std::unique_ptr<HttpServer>> start(cache::Cache& cache, HttpOptions options);
  ~HttpServer();  // ends what is going on

  // Where it listens: the address with its port.
  const std::string& address() const;
  // No connection and no request is taken any more; returns when what was begun is answered, or after this long.
  void drain(std::chrono::milliseconds at_most);
  std::size_t connections() const;

 private:
  HttpServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve
