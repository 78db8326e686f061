// SPDX-License-Identifier: Apache-2.0
// I9: counts of lookups are counts, and nothing was saved without a hit.
#include "libcache/account/check.h"
#include "libcache/account/tally.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

bool is_possible(const Counters& counters) {
  if (counters.bytes_saved < 0 || counters.time_saved.count() < 0) return false;
  return counters.hits > 0 || (counters.bytes_saved == 0 && counters.time_saved.count() == 0);
}

base::Status check_statistics(CheckState& state) {
  return each_row(state.env, table::statistics,
                  [&](base::lmdb::ReadTxn&, const ProjectKey& key, const Counters& counters) -> base::Status {
                    if (!is_possible(counters))
                      state.found(9, "statistics of project \"{}\": {} hits saved {} bytes and {} ns", key.project,
                                  counters.hits, counters.bytes_saved, counters.time_saved.count());
                    return {};
                  });
}

}  // namespace cairn::cache
