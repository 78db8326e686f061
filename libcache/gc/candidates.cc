// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/candidates.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr const char* orders_key = "orders";
constexpr std::uint64_t orders_now = 2;  // 1: by a level that rose with what was taken
// Nothing is free to make again: reading and writing back what it holds is the least.
constexpr std::int64_t least_ns = 1'000'000;
constexpr std::int64_t ns_per_kib = 5'000;  // 200 MiB/s
constexpr std::int64_t least_kib = 4;
constexpr std::uint64_t value_max = std::uint64_t{1} << 62;

constexpr unsigned class_shift = 56;  // the class is the first byte of a place
constexpr unsigned time_shift = 8;
constexpr unsigned class_max = 32;  // of value_max

// How much longer a class may lie idle than class 0, in 1024ths: 4^0.1 for each.
constexpr std::array<std::uint64_t, class_max + 1> patience = [] {
  std::array<std::uint64_t, class_max + 1> all{};
  std::uint64_t in_millionths = 1'000'000;
  for (auto& each : all) {
    each = in_millionths * 1024 / 1'000'000;
    in_millionths = in_millionths * 1'148'698 / 1'000'000;
  }
  return all;
}();
// What was used a moment ago is not nothing times as idle as what is used now.
constexpr std::chrono::minutes moment{1};

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
  return std::max<std::int64_t>(record.space.exclusive_bytes, 0) +
         std::max<std::int64_t>(record.space.blob_exclusive_bytes, 0);
}

WorthClass worth_of(const RecordInfo& record, Keyed keyed) {
  if (keyed == Keyed::no) return 0;
  const std::int64_t kib = std::max(freed_by(record) / 1024, least_kib);
  constexpr std::int64_t build_ns_max = std::int64_t{1} << 60;
  const std::int64_t kib_priced = std::min(kib, std::int64_t{1} << 40);
  const std::int64_t ns = std::clamp(record.facts.build_time.count(), std::int64_t{0}, build_ns_max) + least_ns + kib_priced * ns_per_kib;
  // Bounded before each step, so that nothing overflows.
  const auto uses = std::min<std::uint64_t>(record.use_count, 1'000'000) + 1;
  const auto each = std::min<std::uint64_t>(static_cast<std::uint64_t>(ns), value_max / 2'000'000);
  const std::uint64_t value = std::max<std::uint64_t>(each * uses / static_cast<std::uint64_t>(kib), 1);
  return static_cast<WorthClass>(1 + (std::bit_width(value) - 1) / 2);
}

Rank place_by_cost(WorthClass worth, base::WallTime idle_since) {
  if (worth == 0) return Rank();
  return Rank((std::uint64_t{worth} << class_shift) | (place_by_age(idle_since).value() >> time_shift));
}

WorthClass worth_at(Rank by_cost) { return static_cast<WorthClass>(by_cost.value() >> class_shift); }

Rank first_of(unsigned worth) {
  return Rank(worth > std::numeric_limits<WorthClass>::max() ? std::numeric_limits<std::uint64_t>::max()
                                                             : std::uint64_t{worth} << class_shift);
}

base::WallTime idle_since(Rank by_cost) {
  constexpr std::uint64_t time_mask = (std::uint64_t{1} << class_shift) - 1;
  return base::from_unix_ns(static_cast<std::int64_t>((by_cost.value() & time_mask) << time_shift));
}

std::uint64_t turn_by_cost(Rank by_cost, base::WallTime now) {
  if (!by_cost) return 0;
  const auto idle = std::max(now - idle_since(by_cost), base::WallTime::duration{0}) + moment;
  const auto us = static_cast<std::uint64_t>(std::chrono::duration_cast<std::chrono::microseconds>(idle).count());
  const std::uint64_t for_its_worth = us * 1024 / patience[std::min<unsigned>(worth_at(by_cost), class_max)];
  return std::numeric_limits<std::uint64_t>::max() - for_its_worth;
}

PlacesRow places_of(const RecordInfo& record, Keyed keyed) {
  return {record.facts.type, record.last_used, place_by_cost(worth_of(record, keyed), record.last_used)};
}

Rank place_by_age(base::WallTime last_used) {
  return Rank(static_cast<std::uint64_t>(std::max<std::int64_t>(base::to_unix_ns(last_used), 0)));
}

Result<bool> has_candidates(const ReadTxn& txn) {
  const auto row = TRY(txn.get(table::collector, orders_key));
  return row && row->orders == orders_now;
}

Status keep_candidates(WriteTxn& txn) {
  const bool kept = TRY(has_candidates(txn));
  const bool is_new = !kept && TRY(txn.count(table::records)) == 0;
  return is_new ? txn.put(table::collector, orders_key, CollectorRow{orders_now}) : Status();
}

Status admit_candidate(WriteTxn& txn, RecordId id) {
  const bool kept = TRY(has_candidates(txn));
  const bool has_child = TRY(has_rows(txn, table::children, key_prefix(id)));
  if (!kept || has_child) return {};
  auto row = TRY(txn.get(table::records, id));
  if (!row) return {};
  TRY(drop_candidate(txn, id));
  const RecordInfo record = to_info(id, std::move(*row));
  const bool keyed = TRY(has_rows(txn, table::record_keys, key_prefix(id)));
  return put_places(txn, id, places_of(record, keyed ? Keyed::yes : Keyed::no));
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
  TRY(txn.put(table::collector, orders_key, CollectorRow{orders_now}));
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
  return ByteWriter().u8(cache::row_version).u64(row.orders).take();
}

Result<cache::CollectorRow> Codec<cache::CollectorRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const cache::CollectorRow row{TRY(reader.u64())};
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
