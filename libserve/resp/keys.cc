// SPDX-License-Identifier: Apache-2.0
#include "libserve/resp/keys.h"

#include <algorithm>

namespace cairn::serve {

using base::ErrorCode;

namespace {

constexpr std::string_view ccache_prefix = "ccache:";
constexpr std::size_t sccache_hash_at = 6;  // behind A/B/C/

bool is_visible(char c) { return c > 0x20 && c < 0x7f; }
bool is_hex(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'); }

bool is_of_sccache(std::string_view key) {
  if (key == ".sccache_check") return true;
  if (key.size() != sccache_hash_at + 64) return false;
  const std::string_view hash = key.substr(sccache_hash_at);
  return std::all_of(hash.begin(), hash.end(), is_hex) && key[0] == hash[0] && key[1] == '/' && key[2] == hash[1] &&
         key[3] == '/' && key[4] == hash[2] && key[5] == '/';
}

}  // namespace

std::string_view door_of_key(std::string_view key) {
  if (key.starts_with(ccache_prefix)) return "ccache";
  return is_of_sccache(key) ? "sccache" : "redis";
}

std::string instance_of_database(unsigned database) { return database == 0 ? "" : std::to_string(database); }

base::Result<cache::EntryName> entry_of_key(unsigned database, std::string_view key) {
  const std::string_view door = door_of_key(key);
  if (door == "ccache") key.remove_prefix(ccache_prefix.size());
  if (key.empty() || key.size() > cache::entry_key_bytes_max)
    return base::fail(ErrorCode::invalid_argument, "a key has 1 to {} bytes", cache::entry_key_bytes_max);
  if (!std::all_of(key.begin(), key.end(), is_visible))
    return base::fail(ErrorCode::invalid_argument, "a key has no blanks, control characters or other than ASCII");
  return cache::EntryName{
      .door = std::string(door), .instance = instance_of_database(database), .key = std::string(key)};
}

}  // namespace cairn::serve
