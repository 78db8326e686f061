// SPDX-License-Identifier: Apache-2.0
// The tables of the ledger, and the one change that writes them.
#pragma once

#include <span>

#include "libbase/lmdb/env.h"
#include "libcache/ledger.h"

template <>
struct cairn::base::Codec<cairn::cache::LedgerRow> {
  static std::string encode(const cache::LedgerRow& row);
  static Result<cache::LedgerRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::LedgerTotals> {
  static std::string encode(const cache::LedgerTotals& row);
  static Result<cache::LedgerTotals> decode(std::string_view bytes);
};

namespace cairn::cache {

namespace table {
inline constexpr base::lmdb::TableSpec<KeyDigest, LedgerRow> ledger{{"cache.ledger", base::lmdb::Precious::ephemeral}};
inline constexpr base::lmdb::TableSpec<std::string, LedgerTotals> ledger_totals{
    {"cache.ledger_totals", base::lmdb::Precious::ephemeral}};
}  // namespace table

// What came out for one result that was made again.
struct Verdict {
  enum class Outcome : std::uint8_t { equal, different, not_compared };
  Outcome outcome = Outcome::not_compared;
  KeyDigest key{};
  ExecutedStep step{};
  base::WallTime when{};
  RecordId older{}, newer{};
  bool by_inputs = false;
  std::uint64_t paths_total = 0;
  std::vector<TreeDifference> paths{};
};

base::Result<LedgerTotals> ledger_totals_of(const base::lmdb::ReadTxn& txn);
// Counts them, and keeps the rows of those that differ within bounds. Runs in the writer's transaction. O(rows of the ledger).
base::Status write_verdicts(base::lmdb::WriteTxn& txn, std::span<const Verdict> verdicts, const LedgerOptions& options);

}  // namespace cairn::cache
