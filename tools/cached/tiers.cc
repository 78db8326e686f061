// SPDX-License-Identifier: Apache-2.0
#include "tools/cached/tiers.h"

#include <fmt/format.h>

#include "libbase/fs/fd.h"
#include "libcache/blob_writer.h"
#include "libcache/sharded_tier.h"
#include "libremote/http_tier.h"
#include "libremote/reapi_tier.h"
#include "libremote/redis_tier.h"
#include "libremote/s3_tier.h"
#include "tools/cached/config.h"

namespace cairn::cached {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::TomlTable;

namespace {

constexpr std::uint64_t secret_bytes_max = 64 * 1024;

Status take_text(TomlTable& table, std::string_view key, std::string& into) {
  if (auto text = TRY(table.text(key))) into = std::move(*text);
  return {};
}

Status read_s3(TomlTable& table, TierSection& tier) {
  for (const auto& [key, into] : {std::pair{"bucket", &tier.bucket},
                                  {"prefix", &tier.prefix},
                                  {"endpoint", &tier.endpoint},
                                  {"region", &tier.region}})
    TRY(take_text(table, key, *into));
  if (tier.bucket.empty()) return table.wrong("bucket", "want the name of a bucket");
  const auto addressing = TRY(table.text("addressing")).value_or("path");
  if (addressing != "path" && addressing != "virtual-host")
    return table.wrong("addressing", R"(want "path" or "virtual-host")");
  tier.virtual_host = addressing == "virtual-host";
  if (const auto below = TRY(bytes_at(table, "pack_below"))) tier.pack_below = *below;
  if (const auto bytes = TRY(bytes_at(table, "pack_bytes"))) tier.pack_bytes = *bytes;
  if (tier.pack_bytes < 64 << 10 || tier.pack_bytes > 64 << 20)
    return table.wrong("pack_bytes", "want a size from 64KB to 64MB");
  if (tier.pack_below > tier.pack_bytes) return table.wrong("pack_below", "it is more than pack_bytes");
  const auto known = TRY(table.integer("known_objects")).value_or(500'000);
  if (known < 1 || known > 100'000'000) return table.wrong("known_objects", "want a number from 1 to 100000000");
  tier.known_objects = static_cast<std::size_t>(known);
  return {};
}

Status read_redis(TomlTable& table, TierSection& tier) {
  for (const auto& [key, into] : {std::pair{"host", &tier.host},
                                  {"unix_socket", &tier.unix_socket},
                                  {"prefix", &tier.prefix},
                                  {"user", &tier.user},
                                  {"secret_file", &tier.secret_file}})
    TRY(take_text(table, key, *into));
  if (tier.host.empty() == tier.unix_socket.empty()) return table.wrong("host", "want a host, or a unix_socket");
  const auto port = TRY(table.integer("port")).value_or(6379);
  if (port < 1 || port > 65'535) return table.wrong("port", "want a number from 1 to 65535");
  const auto database = TRY(table.integer("database")).value_or(0);
  if (database < 0 || database > 1'000'000) return table.wrong("database", "want the number of a database");
  tier.port = static_cast<std::uint16_t>(port);
  tier.database = static_cast<unsigned>(database);
  tier.tls = TRY(table.truth("tls")).value_or(false);
  return {};
}

Status read_http(TomlTable& table, TierSection& tier) {
  for (const auto& [key, into] :
       {std::pair{"url", &tier.url}, {"user", &tier.user}, {"secret_file", &tier.secret_file}})
    TRY(take_text(table, key, *into));
  if (tier.url.empty()) return table.wrong("url", "want http://HOST[:PORT][/PATH], or https");
  return {};
}

Status read_reapi(TomlTable& table, TierSection& tier) {
  for (const auto& [key, into] : {std::pair{"instance", &tier.instance},
                                  {"user", &tier.user},
                                  {"secret_file", &tier.secret_file},
                                  {"ca", &tier.ca},
                                  {"client_certificate", &tier.client_certificate},
                                  {"client_key", &tier.client_key}})
    TRY(take_text(table, key, *into));
  tier.peers = TRY(table.texts("peers"));
  if (tier.peers.empty()) return table.wrong("peers", R"(want servers: ["grpc://HOST:PORT"], grpcs, or "unix:/PATH")");
  for (const std::string& each : tier.peers)
    if (const Status is_one = remote::expect_reapi_address(each); !is_one)
      return table.wrong("peers", is_one.error().message);
  tier.weights = TRY(table.integers("weights"));
  if (!tier.weights.empty() && tier.weights.size() != tier.peers.size())
    return table.wrong("weights", "want one number for each of the peers");
  const auto mirrors = TRY(table.integer("mirrors")).value_or(1);
  if (mirrors < 1 || static_cast<std::uint64_t>(mirrors) > tier.peers.size())
    return table.wrong("mirrors", "want a number from 1 to that of the peers");
  tier.mirrors = static_cast<unsigned>(mirrors);
  const auto shard_by = TRY(table.text("shard_by")).value_or("entry");
  if (shard_by != "entry" && shard_by != "digest") return table.wrong("shard_by", R"(want "entry" or "digest")");
  tier.by_digest = shard_by == "digest";
  return {};
}

// The first line of the file.
Result<std::string> secret_of(const TierSection& tier) {
  if (tier.secret_file.empty()) return std::string();
  const auto path = TRY(base::HostPath::from_user(tier.secret_file), "secret_file {}", tier.secret_file);
  const std::string text = TRY(base::read_file(path, secret_bytes_max), "secret_file {}", tier.secret_file);
  const std::string line = text.substr(0, text.find('\n'));
  if (line.empty()) return base::fail(ErrorCode::invalid_argument, "secret_file {}: it is empty", tier.secret_file);
  return line;
}

Result<std::unique_ptr<cache::RemoteTier>> open_redis(const TierSection& tier) {
  using Security = remote::RedisOptions::Security;
  remote::RedisOptions options;
  options.host = tier.host;
  options.port = tier.port;
  options.unix_socket = tier.unix_socket;
  options.security = tier.tls ? Security::tls : Security::plain;
  options.user = tier.user;
  options.password = TRY(secret_of(tier));
  options.database = tier.database;
  if (!tier.prefix.empty()) options.prefix = tier.prefix;
  return remote::make_redis_tier(std::move(options));
}

Result<std::unique_ptr<cache::RemoteTier>> open_http(cache::Fetcher& fetcher, const TierSection& tier) {
  remote::HttpTierOptions options{.url = tier.url};
  std::string secret = TRY(secret_of(tier));
  options.user = tier.user;
  (tier.user.empty() ? options.token : options.password) = std::move(secret);
  return remote::make_http_tier(fetcher, std::move(options));
}

Result<std::optional<base::HostPath>> path_of(const std::string& text) {
  if (text.empty()) return std::nullopt;
  return TRY(base::HostPath::from_user(text));
}

Result<std::unique_ptr<cache::RemoteTier>> open_peer(const TierSection& tier, const std::string& address) {
  remote::ReapiTierOptions options{.address = address, .instance = tier.instance, .user = tier.user};
  std::string secret = TRY(secret_of(tier));
  (tier.user.empty() ? options.token : options.password) = std::move(secret);
  options.ca = TRY(path_of(tier.ca));
  options.client_certificate = TRY(path_of(tier.client_certificate));
  options.client_key = TRY(path_of(tier.client_key));
  return remote::make_reapi_tier(std::move(options));
}

Result<std::unique_ptr<cache::RemoteTier>> open_reapi(const base::Clock& clock, const TierSection& tier) {
  if (tier.peers.size() == 1) return open_peer(tier, tier.peers.front());
  std::vector<cache::TierPeer> peers;
  for (std::size_t i = 0; i < tier.peers.size(); ++i)
    peers.push_back(
        {TRY(open_peer(tier, tier.peers[i])), tier.weights.empty() ? 1.0 : static_cast<double>(tier.weights[i])});
  cache::ShardedOptions options;
  options.mirrors = tier.mirrors;
  options.by = tier.by_digest ? cache::ShardBy::digest : cache::ShardBy::entry;
  return cache::make_sharded_tier(std::move(peers), clock, std::move(options));
}

Result<std::unique_ptr<cache::RemoteTier>> open_s3(cache::Fetcher& fetcher, const base::Clock& clock,
                                                   const TierSection& tier) {
  using Addressing = remote::S3Options::Addressing;
  remote::S3Options options;
  options.bucket = tier.bucket;
  options.prefix = tier.prefix;
  options.endpoint = tier.endpoint;
  options.region = tier.region;
  options.addressing = tier.virtual_host ? Addressing::virtual_host : Addressing::path;
  options.pack_below = tier.pack_below;
  options.pack_bytes = static_cast<std::size_t>(tier.pack_bytes);
  options.known_objects_max = tier.known_objects;
  return remote::make_s3_tier(fetcher, clock, remote::with_environment(std::move(options)));
}

}  // namespace

Result<TierSection> read_tier(TomlTable& table) {
  TierSection tier;
  const auto use = TRY(table.text("use")).value_or("both");
  if (use == "read")
    tier.use = cache::TierUse::read;
  else if (use == "write")
    tier.use = cache::TierUse::write;
  else if (use != "both")
    return table.wrong("use", R"(want "read", "write" or "both")");
  const auto kind = TRY(table.text("kind")).value_or("");
  if (kind == "s3") {
    TRY(read_s3(table, tier));
  } else if (kind == "redis") {
    tier.kind = TierKind::redis;
    TRY(read_redis(table, tier));
  } else if (kind == "http") {
    tier.kind = TierKind::http;
    TRY(read_http(table, tier));
  } else if (kind == "reapi") {
    tier.kind = TierKind::reapi;
    TRY(read_reapi(table, tier));
  } else {
    return table.wrong("kind", R"(want "s3", "redis", "http" or "reapi")");
  }
  TRY(table.expect_no_other());
  return tier;
}

Result<std::unique_ptr<cache::Tiers>> open_tiers(cache::Cache& cache, cache::Fetcher& fetcher, const base::Clock& clock,
                                                 const TiersConfig& config, std::int64_t live_bytes_max) {
  std::vector<cache::TierSettings> settings;
  for (const TierSection& tier : config.sections) {
    std::unique_ptr<cache::RemoteTier> opened;
    switch (tier.kind) {
      case TierKind::s3: opened = TRY(open_s3(fetcher, clock, tier)); break;
      case TierKind::redis: opened = TRY(open_redis(tier)); break;
      case TierKind::http: opened = TRY(open_http(fetcher, tier)); break;
      case TierKind::reapi: opened = TRY(open_reapi(clock, tier)); break;
    }
    settings.push_back({std::move(opened), tier.use});
  }
  cache::TiersOptions options;
  options.lookup_time = std::chrono::milliseconds(config.lookup_ms);
  options.room = [&cache, live_bytes_max](std::uint64_t bytes) {
    return cache::expect_room(cache, live_bytes_max, bytes);
  };
  return std::make_unique<cache::Tiers>(cache, std::move(settings), clock, std::move(options));
}

}  // namespace cairn::cached
