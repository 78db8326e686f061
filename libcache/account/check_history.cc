// SPDX-License-Identifier: Apache-2.0
// I9: a solve is filed under when it began, and its times are times.
#include "libcache/account/check.h"
#include "libcache/history/history_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

base::Status check_history(CheckState& state) {
  return each_row(state.env, table::history, [&](base::lmdb::ReadTxn&, const SolveId& id, const SolveRow& row) -> base::Status {
    if (row.id != id) state.found(9, "solve {} is filed under {}", to_text(row.id), to_text(id));
    if (row.duration.count() < 0) state.found(9, "solve {} took {} ns", to_text(id), row.duration.count());
    return {};
  });
}

}  // namespace cairn::cache
