// SPDX-License-Identifier: Apache-2.0
// The table of cache mounts: a name and a limit for each key that steps find versions under.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/digests.h"
#include "libcache/record.h"

namespace cairn::cache {

struct CacheMountRow {
  std::string id;
  RecordId base{};
  std::optional<std::int64_t> limit;
  bool operator==(const CacheMountRow&) const = default;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::CacheMountRow> {
  static std::string encode(const cache::CacheMountRow& row);
  static Result<cache::CacheMountRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<KeyDigest, CacheMountRow> cache_mounts{
    {"cache.cache_mounts", base::lmdb::Precious::persistent}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// With the results of a record that goes: which keys led to it, and afterwards the names of those that lead nowhere any more,
// unless somebody has set a limit.
base::Result<std::vector<KeyDigest>> keys_leading_to(const base::lmdb::ReadTxn& txn, RecordId record);
base::Status drop_idle_names(base::lmdb::WriteTxn& txn, const std::vector<KeyDigest>& keys);

}  // namespace cairn::cache
