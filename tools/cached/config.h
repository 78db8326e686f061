// SPDX-License-Identifier: Apache-2.0
// What cached is told to be, by its file and its command line (docs/guides/cached.md).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libserve/access.h"
#include "libserve/tls.h"
#include "tools/cached/tiers.h"

namespace cairn::cached {

struct Config {
  std::string root = "/var/lib/cairn";
  std::string http = "127.0.0.1:8080";
  std::string grpc{}, resp{}, containerd{};
  bool allow_remote = false, fetch = false;
  std::uint64_t max_bytes = 0, soft_bytes = 0;  // of what the store holds; soft 0: nine tenths of the other
  unsigned lease_seconds = 300;
  std::size_t connections = 4096;
  unsigned drain_seconds = 30;
  std::optional<serve::TlsFiles> tls{};
  TiersConfig tiers{};
  std::optional<serve::AccessRules> access{};  // nullopt: nobody is asked who he is
};

// A size as a number of bytes or as "50GB"; nullopt: it is not there.
base::Result<std::optional<std::uint64_t>> bytes_at(base::TomlTable& table, std::string_view key);
// A file over what `config` says so far: each fault names file, line and field. None: it is as the file says.
std::vector<std::string> read_config(std::string_view text, std::string_view file, Config& config);
// Of a file on the disk.
std::vector<std::string> load_config(const std::string& path, Config& config);

}  // namespace cairn::cached
