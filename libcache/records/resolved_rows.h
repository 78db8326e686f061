// SPDX-License-Identifier: Apache-2.0
// The table of what remote sides have said of sources.
#pragma once

#include <map>
#include <memory>
#include <string>

#include "libbase/clock.h"
#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libcache/digests.h"

namespace cairn::cache {

struct ResolvedRow {
  base::WallTime when{};
  std::string name, facts;
};

// Rows that are queued, so that this process finds them at once.
using QueuedResolved = base::Guarded<std::map<KeyDigest, std::shared_ptr<const ResolvedRow>>>;

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::ResolvedRow> {
  static std::string encode(const cache::ResolvedRow& row);
  static Result<cache::ResolvedRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<KeyDigest, ResolvedRow> resolved{
    {"cache.resolved", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table
