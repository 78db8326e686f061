// SPDX-License-Identifier: Apache-2.0
// The table of promotions, by the record of the entry that each has made: so in the order of time.
#pragma once

#include "libcache/promotion.h"

template <>
struct cairn::base::Codec<cairn::cache::Promotion> {
  static std::string encode(const cache::Promotion& row);
  static Result<cache::Promotion> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<RecordId, Promotion> promotions{
    {"cache.promotions", base::lmdb::Precious::persistent}};

}  // namespace cairn::cache::table
