// SPDX-License-Identifier: Apache-2.0
// The table of the stat cache and its rows (docs/formats/stat-cache.md). A directory is one row per 256 names.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/stat_cache.h"
#include "libcache/trees/entry_reader.h"

namespace cairn::cache {

// What must be the same for a file to be believed.
struct StatFacts {
  std::uint64_t inode = 0, size = 0;
  std::int64_t birth_seconds = 0, mtime_seconds = 0, ctime_seconds = 0;
  std::uint32_t birth_nanoseconds = 0, mtime_nanoseconds = 0, ctime_nanoseconds = 0;
  bool operator==(const StatFacts&) const = default;
};
StatFacts facts_of(const StatX& seen);

struct StatEntry {
  std::string name;  // "" for the directory itself
  StatFacts facts;
  NameContent content;
  bool operator==(const StatEntry&) const = default;
};

struct StatKey {
  std::uint64_t file_system = 0;
  std::uint64_t directory = 0;  // its inode
  StatsOf of = StatsOf::scanned;
  std::uint32_t part = 0;  // below 2^24
};

struct StatRow {
  std::uint32_t used_day = 0;       // days since 1970: when it was last of use, give or take one
  std::vector<StatEntry> entries;  // by name
};

inline constexpr std::size_t stat_entries_per_row = 256;

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::StatKey> {
  static std::string encode(const cache::StatKey& key);
  static Result<cache::StatKey> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::StatRow> {
  static std::string encode(const cache::StatRow& row);
  static Result<cache::StatRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<StatKey, StatRow> stats{{"cache.stats", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table
