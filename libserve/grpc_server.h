// SPDX-License-Identifier: Apache-2.0
// A store served over gRPC: the Remote Execution API, version 2 (Capabilities, ContentAddressableStorage, ActionCache),
// ByteStream, health and reflection (docs/guides/cached.md). Protocol in, libcache out: nothing is kept here but
// uploads that were cut off.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/cache.h"
#include "libcache/tiers.h"
#include "libcache/fetcher.h"
#include "libserve/access.h"
#include "libserve/tls.h"

namespace cairn::serve {

struct GrpcOptions {
  std::string address = "127.0.0.1:8980";  // HOST:PORT (port 0: a free one), or the absolute path of a socket
  std::optional<base::HostPath> spool;     // as in HttpOptions
  unsigned workers = 8;                    // for what reads, hashes and writes
  std::uint64_t body_max = std::uint64_t{64} << 30;
  std::int64_t live_bytes_max = 0;  // as in HttpOptions; RESOURCE_EXHAUSTED
  cache::Tiers* tiers = nullptr;  // asked for what is not here, and sent what is put; outlives the server
  const Access* access = nullptr;   // as in HttpOptions; UNAUTHENTICATED, PERMISSION_DENIED
  std::optional<TlsFiles> tls{};  // as in HttpOptions
  cache::Fetcher* fetcher =
      nullptr;  // for assets that nobody has pushed; outlives the server. nullptr: they are not found
};

class GrpcServer {
 public:
  // Listens and serves. The cache outlives it. Errors: invalid_argument (the address, or somebody listens at that port; a
  // file of TLS), busy (somebody listens at that socket),
  // unavailable (a method that nobody has said the needs of).
  static base::Result<std::unique_ptr<GrpcServer>> start(cache::Cache& cache, GrpcOptions options);
  ~GrpcServer();  // ends what is going on
  const std::string& address() const;
  // Health says NOT_SERVING and no call is taken any more; returns when what was begun is answered, or after this long.
  void drain(std::chrono::milliseconds at_most);

 private:
  GrpcServer();
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::serve
