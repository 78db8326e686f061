// SPDX-License-Identifier: Apache-2.0
// A server of Redis or Valkey as a tier, for entries and small blobs: values under PREFIX:entry:HEX
// (docs/formats/tier-entry.md) and PREFIX:blob:HEX. It is one server, or a proxy that looks like one; clusters that
// send clients elsewhere are not followed.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "libcache/remote_tier.h"

namespace cairn::remote {

struct RedisOptions {
  enum class Security { plain, tls };
  std::string host = "127.0.0.1";
  std::uint16_t port = 6379;
  std::string unix_socket = {};  // a path, instead of host and port
  Security security = Security::plain;
  std::string ca_file = {};              // certificates to trust instead of the machine's; PEM
  std::string user = {}, password = {};  // no password: no AUTH; no user: the server's default one
  unsigned database = 0;
  std::string prefix = "cairn";
  std::chrono::seconds time_to_live{0};  // after which the server forgets what was put; 0: when it likes
  std::size_t blob_bytes_max = 1 << 20;
};

// Asks nobody. Errors: invalid_argument (a host or a prefix that cannot be one).
base::Result<std::unique_ptr<cache::RemoteTier>> make_redis_tier(RedisOptions options);

}  // namespace cairn::remote
