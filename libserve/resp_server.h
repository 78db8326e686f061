// SPDX-License-Identifier: Apache-2.0
// A store served in the protocol of Redis (RESP2) to builders that keep their results there: ccache and sccache
// (docs/guides/cached.md). Protocol in, libcache out: nothing is kept here.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "libbase/clock.h"
#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/tiers.h"
#include "libserve/access.h"
#include "libserve/tls.h"

namespace cairn::serve {

struct RespOptions {
  std::string address = "127.0.0.1:6379";  // HOST:PORT (port 0: a free one), or the absolute path of a socket
  unsigned threads = 2;                    // for sockets and lookups
  unsigned workers = 8;                    // for what waits for disks
  std::size_t connections_max = 4096;      // further ones are told so
  std::size_t words_max = 1024;            // of a command
  std::uint64_t value_max = std::uint64_t{512} << 20;
  const Access* access = nullptr;                  // as in HttpOptions; -NOAUTH, -NOPERM
  std::optional<TlsFiles> tls{};                   // as in HttpOptions
  std::int64_t live_bytes_max = 0;                 // as in HttpOptions; -OOM
  cache::Tiers* tiers = nullptr;  // asked for what is not here, and sent what is put; outlives the server
  std::chrono::milliseconds idle_time{600'000};    // a connection without a command; clients keep theirs for a build
  std::chrono::milliseconds command_time{10'000};  // from its first byte to its value, or its end
  std::chrono::milliseconds piece_time{30'000};    // for 256 KiB of a value, in or out
};

class RespServer {
 public:
  // Listens and serves. The cache and the clock, by which values expire, outlive it. Errors: invalid_argument (the
  // address), busy (somebody listens there), io.
  static base::Result<std::unique_ptr<RespServer>> start(cache::Cache& cache, const base::Clock& clock,
                                                         RespOptions options);
  ~RespServer();  // ends what is going on

  const std::string& address() const;  // with its port
  // No connection and no command is taken any more; returns when what was begun is answered, or after this long.
  void drain(std::chrono::milliseconds at_most);
  std::size_t connections() const;
  std::string metrics();  // for Prometheus; thread-safe

 private:
  RespServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve
