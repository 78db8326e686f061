// SPDX-License-Identifier: Apache-2.0
#include "libcache/history/ledger_rows.h"

#include <algorithm>

#include "libbase/crash_point.h"
#include "libcache/records/row_keys.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::ByteReader;
using base::ByteWriter;
using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr const char* totals_key = "all";
constexpr int fields_max = static_cast<int>(DifferenceField::time) + 1;

void write_path(ByteWriter& writer, const TreeDifference& path) {
  std::uint8_t fields = 0;
  for (const DifferenceField field : path.fields) fields |= static_cast<std::uint8_t>(1u << static_cast<unsigned>(field));
  writer.string(path.path).u8(static_cast<std::uint8_t>(path.kind)).u8(fields);
}

Result<TreeDifference> read_path(ByteReader& reader) {
  TreeDifference path;
  path.path = TRY(reader.string());
  const std::uint8_t kind = TRY(reader.u8());
  const std::uint8_t fields = TRY(reader.u8());
  if (kind > static_cast<std::uint8_t>(TreeDifference::Kind::changed) || fields >> fields_max != 0)
    return base::fail(ErrorCode::corrupt, "ledger row: a strange path");
  path.kind = static_cast<TreeDifference::Kind>(kind);
  for (int field = 0; field < fields_max; ++field)
    if ((fields >> field & 1) != 0) path.fields.push_back(static_cast<DifferenceField>(field));
  return path;
}

// What a verdict makes of the row of its key; nullopt: it was equal, and always has been.
std::optional<LedgerRow> add_verdict(std::optional<LedgerRow> row, const Verdict& verdict) {
  const bool differs = verdict.outcome == Verdict::Outcome::different;
  if (!row && !differs) return row;
  if (!row) row.emplace().first_differed = verdict.when;
  ++row->compared;
  if (!differs) return row;
  ++row->differed;
  if (verdict.by_inputs) ++row->by_inputs;
  row->vertex = verdict.step.vertex;
  row->name = verdict.step.name.substr(0, owner_label_bytes_max);
  row->last_differed = verdict.when;
  row->older = verdict.older;
  row->newer = verdict.newer;
  row->last_by_inputs = verdict.by_inputs;
  row->paths_total = verdict.paths_total;
  row->paths = verdict.paths;
  return row;
}

// A row that cannot be read is as good as none: there is no other way to tell what it was.
template <class Row, class Key>
Result<std::optional<Row>> get_readable(const ReadTxn& txn, const base::lmdb::TableSpec<Key, Row>& table, const Key& key) {
  auto row = txn.get(table, key);
  if (!row && row.error().code == ErrorCode::corrupt) return std::optional<Row>();
  return row;
}

Status keep_within_bounds(WriteTxn& txn, const LedgerOptions& options, base::WallTime now) {
  struct Row {
    base::WallTime when;
    KeyDigest key;
    std::uint64_t bytes;
  };
  std::vector<Row> rows;
  std::vector<KeyDigest> unreadable;
  std::uint64_t bytes = 0;
  const auto is_damaged = [&](std::string_view key) {
    if (const auto of = base::Codec<KeyDigest>::decode(key)) unreadable.push_back(*of);
  };
  const auto visit = [&](std::string_view key, std::string_view value) -> Result<Scan> {
    const auto row = base::Codec<LedgerRow>::decode(value);
    if (row) {
      rows.push_back({row->last_differed, TRY(base::Codec<KeyDigest>::decode(key)), value.size()});
      bytes += value.size();
    } else {
      is_damaged(key);
    }
    return Scan::next;
  };
  TRY(txn.scan_all(table::ledger, {}, visit, is_damaged));
  for (const KeyDigest& key : unreadable) TRY(txn.erase(table::ledger, key));
  std::sort(rows.begin(), rows.end(), [](const Row& a, const Row& b) { return a.when < b.when; });
  std::uint64_t left = rows.size();
  for (const Row& row : rows) {
    if (left <= options.steps_max && bytes <= options.bytes_max && now - row.when <= options.age_max) break;
    TRY(txn.erase(table::ledger, row.key));
    --left;
    bytes -= row.bytes;
  }
  return {};
}

}  // namespace

Result<LedgerTotals> ledger_totals_of(const ReadTxn& txn) {
  return TRY(get_readable(txn, table::ledger_totals, std::string(totals_key))).value_or(LedgerTotals{});
}

Status write_verdicts(WriteTxn& txn, std::span<const Verdict> verdicts, const LedgerOptions& options) {
  LedgerTotals totals = TRY(ledger_totals_of(txn));
  base::WallTime now{};
  for (const Verdict& verdict : verdicts) {
    now = std::max(now, verdict.when);
    if (verdict.outcome == Verdict::Outcome::not_compared) {
      ++totals.not_compared;
      continue;
    }
    ++totals.compared;
    if (verdict.outcome == Verdict::Outcome::different) ++totals.differed;
    const auto row = add_verdict(TRY(get_readable(txn, table::ledger, verdict.key)), verdict);
    if (row) TRY(txn.put(table::ledger, verdict.key, *row));
  }
  TRY(txn.put(table::ledger_totals, totals_key, totals));
  TRY(keep_within_bounds(txn, options, now));
  CRASH_POINT("cache.ledger.rows_written");
  return {};
}

Result<LedgerView> read_ledger(base::lmdb::Env& env) {
  LedgerView view;
  TRY(env.view([&](ReadTxn& txn) -> Status {  // bounded, so in one version
    view.totals = TRY(ledger_totals_of(txn));
    const auto visit = [&](std::string_view key, std::string_view value) -> Result<Scan> {
      auto row = base::Codec<LedgerRow>::decode(value);
      if (row) view.entries.push_back({TRY(base::Codec<KeyDigest>::decode(key)), std::move(*row)});
      return Scan::next;
    };
    return txn.scan_all(table::ledger, {}, visit, [](std::string_view) {});
  }));
  std::stable_sort(view.entries.begin(), view.entries.end(),
                   [](const LedgerEntry& a, const LedgerEntry& b) { return a.row.last_differed > b.row.last_differed; });
  return view;
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::LedgerRow>::encode(const cache::LedgerRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).raw({reinterpret_cast<const char*>(row.vertex.data()), row.vertex.size()}).string(row.name);
  writer.varint(row.compared).varint(row.differed).varint(row.by_inputs);
  writer.i64(to_unix_ns(row.first_differed)).i64(to_unix_ns(row.last_differed));
  writer.u64(row.older.value()).u64(row.newer.value()).u8(row.last_by_inputs ? 1 : 0);
  writer.varint(row.paths_total).varint(row.paths.size());
  for (const cache::TreeDifference& path : row.paths) cache::write_path(writer, path);
  return writer.take();
}

Result<cache::LedgerRow> Codec<cache::LedgerRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::LedgerRow row;
  const std::string_view vertex = TRY(reader.raw(row.vertex.size()));
  std::copy(vertex.begin(), vertex.end(), reinterpret_cast<char*>(row.vertex.data()));
  row.name = TRY(reader.string());
  row.compared = TRY(reader.varint());
  row.differed = TRY(reader.varint());
  row.by_inputs = TRY(reader.varint());
  row.first_differed = from_unix_ns(TRY(reader.i64()));
  row.last_differed = from_unix_ns(TRY(reader.i64()));
  row.older = cache::RecordId(TRY(reader.u64()));
  row.newer = cache::RecordId(TRY(reader.u64()));
  const std::uint8_t by_inputs = TRY(reader.u8());
  if (by_inputs > 1) return fail(ErrorCode::corrupt, "ledger row: a strange {}", by_inputs);
  row.last_by_inputs = by_inputs == 1;
  row.paths_total = TRY(reader.varint());
  const std::uint64_t paths = TRY(reader.varint());
  for (std::uint64_t i = 0; i < paths; ++i) row.paths.push_back(TRY(cache::read_path(reader)));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::LedgerTotals>::encode(const cache::LedgerTotals& row) {
  return ByteWriter().u8(cache::row_version).u64(row.compared).u64(row.differed).u64(row.not_compared).take();
}

Result<cache::LedgerTotals> Codec<cache::LedgerTotals>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::LedgerTotals row;
  row.compared = TRY(reader.u64());
  row.differed = TRY(reader.u64());
  row.not_compared = TRY(reader.u64());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
