// SPDX-License-Identifier: Apache-2.0
// The tiers under a store, as the file tells of them ([[tier]], docs/guides/tiers.md).
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/toml/toml_table.h"
#include "libcache/cache.h"
#include "libcache/fetcher.h"
#include "libcache/tiers.h"

namespace cairn::cached {

enum class TierKind : std::uint8_t { s3, redis, http, reapi };

// Secrets are not in it: they are in a file of their own, or, for S3, in the environment.
struct TierSection {
  TierKind kind = TierKind::s3;
  cache::TierUse use = cache::TierUse::both;
  std::string bucket{}, prefix{}, endpoint{}, region{};  // of s3; prefix: of redis, too
  bool virtual_host = false;
  std::uint64_t pack_below = 128 << 10, pack_bytes = 8 << 20;  // of s3
  std::size_t known_objects = 500'000;                         // of s3
  std::string url{};                  // of http
  std::string host{}, unix_socket{};  // of redis
  std::uint16_t port = 6379;
  unsigned database = 0;
  bool tls = false;
  std::string user{}, secret_file{};  // whose first line is a password, or without a user a token
  // Of reapi. Several peers share what there is; each thing is on so many of them.
  std::vector<std::string> peers{};
  std::vector<std::int64_t> weights{};  // of the peers; none: all are equal
  unsigned mirrors = 1;
  bool by_digest = false;
  std::string instance{};
  std::string ca{}, client_certificate{}, client_key{};
};

struct TiersConfig {
  std::vector<TierSection> sections{};  // in their order
  std::uint32_t lookup_ms = 2'000;
};

base::Result<TierSection> read_tier(base::TomlTable& table);

// Of one section at least. The fetcher and all else outlive it. Errors: invalid_argument (what cannot be a tier), io (a
// secret that cannot be read).
base::Result<std::unique_ptr<cache::Tiers>> open_tiers(cache::Cache& cache, cache::Fetcher& fetcher,
                                                       const base::Clock& clock, const TiersConfig& config,
                                                       std::int64_t live_bytes_max);

}  // namespace cairn::cached
