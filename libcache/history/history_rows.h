// SPDX-License-Identifier: Apache-2.0
// The table of solves, and the file in which they wait for it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/history.h"

template <>
struct cairn::base::Codec<cairn::cache::SolveRow> {
  static std::string encode(const cache::SolveRow& row);  // compressed if it is large
  static Result<cache::SolveRow> decode(std::string_view bytes);
};

namespace cairn::cache {

namespace table {
inline constexpr base::lmdb::TableSpec<SolveId, SolveRow> history{{"cache.history", base::lmdb::Precious::ephemeral}};
}  // namespace table

inline constexpr std::size_t solve_row_bytes_max = 64u << 20;  // unpacked

// One row in root/history: u32 size, row, and the first 8 bytes of the SHA-256 of the row.
std::string encode_waiting(std::string_view row);
// Up to the first that is damaged or cut off, which a crash may have left at the end.
std::vector<std::string_view> decode_waiting(std::string_view file);

}  // namespace cairn::cache
