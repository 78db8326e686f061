// SPDX-License-Identifier: Apache-2.0
// What scrubs have read back and found, whoever asked for them: one row, and what waits to be added to it.
#pragma once

#include <string>

#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/sync.h"
#include "libcache/records/row_keys.h"
#include "libcache/statistics.h"

template <>
struct cairn::base::Codec<cairn::cache::ScrubTotals> {
  static std::string encode(const cache::ScrubTotals& totals);
  static Result<cache::ScrubTotals> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<std::string, ScrubTotals> scrub_totals{
    {"cache.scrub_totals", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table

namespace cairn::cache {

struct Store;
struct ScrubReport;

// Thread-safe.
class ScrubTally {
 public:
  // Rides along with whatever group comes next; nobody waits for it.
  void add(Store& store, const ScrubReport& report);
  // The row, and what is not in it yet.
  base::Result<ScrubTotals> totals(base::lmdb::Env& env);

 private:
  base::Guarded<ScrubTotals> unwritten_;
};

}  // namespace cairn::cache
