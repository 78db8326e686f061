// SPDX-License-Identifier: Apache-2.0
// Sums by type and by owner, and how what is shared is split between them.
#include <algorithm>
#include <numeric>

#include "libcache/account/totals.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;

namespace {

TotalKind kind_of(Dimension dimension) {
  switch (dimension) {
    case Dimension::type: return TotalKind::type;
    case Dimension::project: return TotalKind::project;
    case Dimension::build: return TotalKind::build;
    case Dimension::step: return TotalKind::step;
  }
  return TotalKind::line;
}

// Splits `bytes` in proportion to what each share has for `shared_bytes`; what rounding leaves goes to the largest.
// Returns what nobody can be given.
std::int64_t split(std::vector<Share>& shares, std::int64_t bytes) {
  const auto weight_of = [](std::int64_t sum, const Share& share) { return sum + share.shared_bytes; };
  const std::int64_t weights = std::accumulate(shares.begin(), shares.end(), std::int64_t{0}, weight_of);
  if (shares.empty() || weights <= 0) return bytes;
  const auto largest = std::max_element(shares.begin(), shares.end(), [](const Share& a, const Share& b) {
    return a.shared_bytes < b.shared_bytes;
  });
  std::int64_t left = bytes;
  for (Share& share : shares) {
    share.shared_bytes = static_cast<std::int64_t>(static_cast<__int128>(bytes) * share.shared_bytes / weights);
    left -= share.shared_bytes;
  }
  largest->shared_bytes += left;
  return 0;
}

struct Sums {
  std::vector<Share> shares;
  std::int64_t shared_bytes = 0;
  std::int64_t unnamed_bytes = 0;
};

void add_share(Sums& sums, const TotalKey& key, const Totals& row) {
  sums.shares.push_back({.name = key.name,
                         .records = static_cast<std::uint64_t>(row.count),
                         .inodes = row.inodes,
                         .exclusive_bytes = row.exclusive_bytes,
                         .shared_bytes = row.shared_bytes});
}

// One version of the store, so that the sums belong together.
Result<Sums> read_sums(Env& env, Dimension dimension) {
  Sums sums;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    sums = {};
    const std::string prefix(1, static_cast<char>(kind_of(dimension)));
    TRY(scan_rows(txn, table::totals, prefix, [&](const TotalKey& key, const Totals& row) -> Result<base::lmdb::Scan> {
      add_share(sums, key, row);
      return base::lmdb::Scan::next;
    }));
    sums.shared_bytes = TRY(snapshot::tree_totals(txn)).shared.bytes;
    sums.shared_bytes += TRY(total_of(txn, line_total(line::blobs_shared))).exclusive_bytes;
    sums.unnamed_bytes = TRY(total_of(txn, line_total(line::blobs_unnamed))).exclusive_bytes;
    const BlobTotals places = TRY(blob_totals(txn));
    const std::int64_t live = places.file_bytes + places.pack_bytes - places.pack_reclaimable_bytes;
    sums.unnamed_bytes += live - TRY(total_of(txn, line_total(line::blobs))).exclusive_bytes;
    return {};
  }));
  return sums;
}

}  // namespace

std::string_view to_string(Dimension dimension) {
  switch (dimension) {
    case Dimension::type: return "type";
    case Dimension::project: return "project";
    case Dimension::build: return "build";
    case Dimension::step: return "step";
  }
  return "unknown";
}

Result<Breakdown> usage_by(Env& env, Dimension dimension) {
  Sums sums = TRY(read_sums(env, dimension), "usage by {}", to_string(dimension));
  const std::int64_t nobodys = split(sums.shares, sums.shared_bytes);
  Breakdown breakdown{.shares = std::move(sums.shares), .unowned_bytes = sums.unnamed_bytes + nobodys};
  breakdown.total_bytes = breakdown.unowned_bytes;
  for (const Share& share : breakdown.shares) breakdown.total_bytes += share.exclusive_bytes + share.shared_bytes;
  return breakdown;
}

}  // namespace cairn::cache
