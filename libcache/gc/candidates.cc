// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/candidates.h"

#include <algorithm>
#include <limits>

#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/keys/key_rows.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr const char* level_key = "level";
// Nothing is free to make again: reading and writing back what it holds is the least.
constexpr std::int64_t least_ns = 1'000'000;
constexpr std::int64_t ns_per_kib = 5'000;  // 200 MiB/s
constexpr std::int64_t least_kib = 4;
constexpr std::uint64_t credit_max = std::uint64_t{1} << 62;

Status put_places(WriteTxn& txn, RecordId id, const PlacesRow& places) {
  TRY(txn.put(table::candidates_by_age, {number_of(places.type), place_by_age(places.last_used), id}, Present{}));
  TRY(txn.put(table::candidates_by_cost, {number_of(places.type), places.by_cost, id}, Present{}));
  return txn.put(table::candidate_places, id, places);
}

Status erase_places(WriteTxn& txn, RecordId id, const PlacesRow& places) {
  TRY(txn.erase(table::candidates_by_age, {number_of(places.type), place_by_age(places.last_used), id}));
  TRY(txn.erase(table::candidates_by_cost, {number_of(places.type), places.by_cost, id}));
  return txn.erase(table::candidate_places, id);
}

}  // namespace

TypeNumber number_of(RecordType type) { return TypeNumber(static_cast<std::uint64_t>(type) + 1); }

std::int64_t freed_by(const RecordInfo& record) {
  return std::max<std::int64_t>(record.space.exclusive_bytes, 0) + std::max<std::int64_t>(record.space.blob_exclusive_bytes, 0);
}

std::uint64_t credit_of(const RecordInfo& record, Keyed keyed) {
  if (keyed == Keyed::no) return 0;
  const std::int64_t kib = std::max(freed_by(record) / 1024, least_kib);
  const std::int64_t ns = std::max(record.facts.build_time.count(), std::int64_t{0}) + least_ns + kib * ns_per_kib;
  // Bounded before each step, so that nothing overflows.
  const auto uses = std::min<std::uint64_t>(record.use_count, 1'000'000) + 1;
  const auto each = std::min<std::uint64_t>(static_cast<std::uint64_t>(ns), credit_max / 2'000'000);
  return std::max<std::uint64_t>(each * uses / static_cast<std::uint64_t>(kib), 1);
}

Rank place_by_cost(Rank level, std::uint64_t credit) {
  return Rank(level.value() > std::numeric_limits<std::uint64_t>::max() - credit ? std::numeric_limits<std::uint64_t>::max()
                                                                                  : level.value() + credit);
}

PlacesRow places_of(const RecordInfo& record, Rank level, Keyed keyed) {
  return {record.facts.type, record.last_used, keyed == Keyed::yes ? place_by_cost(level, credit_of(record, keyed)) : Rank()};
}

Rank place_by_age(base::WallTime last_used) {
  return Rank(static_cast<std::uint64_t>(std::max<std::int64_t>(base::to_unix_ns(last_used), 0)));
}

Result<std::optional<Rank>> collector_level(const ReadTxn& txn) {
  const auto row = TRY(txn.get(table::collector, level_key));
  return row ? std::optional<Rank>(row->level) : std::nullopt;
}

Status set_collector_level(WriteTxn& txn, Rank level) { return txn.put(table::collector, level_key, CollectorRow{level}); }

Status keep_candidates(WriteTxn& txn) {
  const auto level = TRY(collector_level(txn));
  const bool is_new = !level && TRY(txn.count(table::records)) == 0;
  return is_new ? set_collector_level(txn, Rank(1)) : Status();
}

Status admit_candidate(WriteTxn& txn, RecordId id) {
  const auto level = TRY(collector_level(txn));
  const bool has_child = TRY(has_rows(txn, table::children, key_prefix(id)));
  if (!level || has_child) return {};
  auto row = TRY(txn.get(table::records, id));
  if (!row) return {};
  TRY(drop_candidate(txn, id));
  const RecordInfo record = to_info(id, std::move(*row));
  const bool keyed = TRY(has_rows(txn, table::record_keys, key_prefix(id)));
  return put_places(txn, id, places_of(record, *level, keyed ? Keyed::yes : Keyed::no));
}

Status drop_candidate(WriteTxn& txn, RecordId id) {
  const auto places = TRY(txn.get(table::candidate_places, id));
  return places ? erase_places(txn, id, *places) : Status();
}

Status move_candidate(WriteTxn& txn, RecordId id, const PlacesRow& to) {
  const auto places = TRY(txn.get(table::candidate_places, id));
  if (!places || *places == to) return {};
  TRY(erase_places(txn, id, *places));
  return put_places(txn, id, to);
}

Status note_key(WriteTxn& txn, RecordId id) {
  const auto places = TRY(txn.get(table::candidate_places, id));
  return places && !places->by_cost ? admit_candidate(txn, id) : Status();
}

Status rebuild_candidates(WriteTxn& txn) {
  std::vector<RecordId> leaves;
  TRY(scan_rows(txn, table::records, {}, [&](const RecordId& id, const RecordRow&) -> Result<Scan> {
    if (!TRY(has_rows(txn, table::children, key_prefix(id)))) leaves.push_back(id);
    return Scan::next;
  }));
  TRY(set_collector_level(txn, Rank(1)));
  for (const RecordId id : leaves) TRY(admit_candidate(txn, id));
  return {};
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::PlacesRow>::encode(const cache::PlacesRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u8(static_cast<std::uint8_t>(row.type)).i64(to_unix_ns(row.last_used));
  return writer.u64(row.by_cost.value()).take();
}

Result<cache::PlacesRow> Codec<cache::PlacesRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::PlacesRow row;
  const std::uint8_t type = TRY(reader.u8());
  if (type > static_cast<std::uint8_t>(cache::RecordType::source_git_checkout))
    return fail(ErrorCode::corrupt, "places of a record of type {}", type);
  row.type = static_cast<cache::RecordType>(type);
  row.last_used = from_unix_ns(TRY(reader.i64()));
  row.by_cost = cache::Rank(TRY(reader.u64()));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::CollectorRow>::encode(const cache::CollectorRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.level.value()).take();
}

Result<cache::CollectorRow> Codec<cache::CollectorRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const cache::CollectorRow row{cache::Rank(TRY(reader.u64()))};
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
