// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/scrub_totals.h"

#include <algorithm>

#include "libbase/log/log.h"
#include "libcache/cache.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

const std::string totals_key = "all";

Result<ScrubTotals> row_of(const ReadTxn& txn) { return TRY(txn.get(table::scrub_totals, totals_key)).value_or(ScrubTotals{}); }

ScrubTotals totals_of(const ScrubReport& report, base::WallTime now) {
  ScrubTotals totals{.bytes = report.bytes + report.tree_bytes, .damaged = report.damaged + report.damaged_trees};
  if (report.reached_end) totals.last_complete = now;
  return totals;
}

}  // namespace

ScrubTotals& ScrubTotals::operator+=(const ScrubTotals& other) {
  bytes += other.bytes;
  damaged += other.damaged;
  last_complete = std::max(last_complete, other.last_complete);  // none is before all
  return *this;
}

void ScrubTally::add(Store& store, const ScrubReport& report) {
  const ScrubTotals more = totals_of(report, store.clock.now());
  if (more == ScrubTotals{}) return;
  *unwritten_.lock() += more;
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [more](WriteTxn& txn) -> Status {
    ScrubTotals row = TRY(row_of(txn));
    row += more;
    return txn.put(table::scrub_totals, totals_key, row);
  };
  entry.done = [this, more](const Status& outcome) {
    if (!outcome) return;  // of this process only, then
    auto unwritten = unwritten_.lock();
    unwritten->bytes -= more.bytes;
    unwritten->damaged -= more.damaged;
  };
  const auto queued = enqueue(store, std::move(entry));
  if (!queued) base::log_warning("what a scrub has read is not counted: {}", queued.error().message);
}

Result<ScrubTotals> ScrubTally::totals(base::lmdb::Env& env) {
  ScrubTotals totals = *unwritten_.lock();
  totals += TRY(scrub_totals(env));
  return totals;
}

Result<ScrubTotals> scrub_totals(base::lmdb::Env& env) {
  return env.view([](ReadTxn& txn) { return row_of(txn); });
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::ScrubTotals>::encode(const cache::ScrubTotals& totals) {
  return ByteWriter()
      .u8(cache::row_version)
      .varint(totals.bytes)
      .varint(totals.damaged)
      .i64(totals.last_complete ? to_unix_ns(*totals.last_complete) : 0)
      .take();
}

Result<cache::ScrubTotals> Codec<cache::ScrubTotals>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::ScrubTotals totals;
  totals.bytes = TRY(reader.varint());
  totals.damaged = TRY(reader.varint());
  const std::int64_t complete = TRY(reader.i64());
  TRY(reader.expect_end());
  if (complete != 0) totals.last_complete = from_unix_ns(complete);
  return totals;
}

}  // namespace cairn::base
