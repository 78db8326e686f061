// SPDX-License-Identifier: Apache-2.0
// I9: a solve is filed under when it began, and its times are times; the ledger counts no more than it has looked at.
#include "libcache/account/check.h"
#include "libcache/history/history_rows.h"
#include "libcache/history/ledger_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

base::Status check_history(CheckState& state) {
  return each_row(state.env, table::history, [&](base::lmdb::ReadTxn&, const SolveId& id, const SolveRow& row) -> base::Status {
    if (row.id != id) state.found(9, "solve {} is filed under {}", to_text(row.id), to_text(id));
    if (row.duration.count() < 0) state.found(9, "solve {} took {} ns", to_text(id), row.duration.count());
    return {};
  });
}

base::Status check_ledger(CheckState& state) {
  std::uint64_t differed = 0;
  TRY(each_row(state.env, table::ledger, [&](base::lmdb::ReadTxn&, const KeyDigest& key, const LedgerRow& row) -> base::Status {
    differed += row.differed;
    if (row.differed == 0 || row.differed > row.compared || row.by_inputs > row.differed)
      state.found(9, "ledger of key {}: {} of {} results differed, {} of them by their inputs", key, row.differed, row.compared, row.by_inputs);
    if (row.paths.size() > row.paths_total || row.paths.size() > ledger_paths_max || row.paths_total == 0)
      state.found(9, "ledger of key {}: {} of {} paths", key, row.paths.size(), row.paths_total);
    if (row.older == row.newer) state.found(9, "ledger of key {}: record {} differs from itself", key, row.newer);
    if (row.first_differed > row.last_differed) state.found(9, "ledger of key {}: it differed first after it did last", key);
    return {};
  }));
  const auto totals = TRY(state.env.view([](base::lmdb::ReadTxn& txn) { return txn.get(table::ledger_totals, "all"); })).value_or(LedgerTotals{});
  if (differed > totals.differed || totals.differed > totals.compared)
    state.found(9, "the ledger's rows count {} differences, it counts {} of {}", differed, totals.differed, totals.compared);
  return {};
}

}  // namespace cairn::cache
