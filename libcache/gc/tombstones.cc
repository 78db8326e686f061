// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/tombstones.h"

#include <vector>

#include "libcache/explain/recipe_writer.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr const char* regret_key = "all";
constexpr std::size_t rule_bytes_max = 80;
constexpr unsigned oldest_per_new = 2;  // so that age is caught up with, too

Status erase_tombstone(WriteTxn& txn, const KeyDigest& key, const Tombstone& tombstone) {
  TRY(txn.erase(table::tombstones_by_age, {place_by_age(tombstone.when), key}));
  return txn.erase(table::tombstones, key);
}

Status drop_oldest(WriteTxn& txn, base::WallTime now) {
  std::vector<std::tuple<Rank, KeyDigest>> oldest;
  const bool too_many = TRY(txn.count(table::tombstones)) > tombstones_max;
  TRY(scan_rows(txn, table::tombstones_by_age, {}, [&](const auto& key, const Present&) -> Result<Scan> {
    const bool goes = too_many || std::get<0>(key) < place_by_age(now - tombstone_age_max);
    if (goes) oldest.push_back(key);
    return goes && oldest.size() < oldest_per_new ? Scan::next : Scan::stop;
  }));
  for (const auto& [when, key] : oldest) {
    TRY(txn.erase(table::tombstones_by_age, {when, key}));
    TRY(txn.erase(table::tombstones, key));
  }
  return {};
}

Result<bool> leads_elsewhere(WriteTxn& txn, const KeyDigest& key, RecordId record) {
  bool elsewhere = false;
  TRY(scan_rows(txn, table::key_results, key_prefix(key), [&](const auto& row, const KeyResultRow&) -> Result<Scan> {
    elsewhere = std::get<1>(row) != record;
    return elsewhere ? Scan::stop : Scan::next;
  }));
  return elsewhere;
}

}  // namespace

Status bury_keys_of(WriteTxn& txn, RecordId record, const Tombstone& tombstone) {
  std::vector<KeyDigest> keys;
  TRY(scan_rows(txn, table::record_keys, key_prefix(record), [&](const auto& row, const Present&) -> Result<Scan> {
    keys.push_back(std::get<1>(row));
    return Scan::next;
  }));
  for (const KeyDigest& key : keys) {
    if (TRY(leads_elsewhere(txn, key, record))) continue;
    if (const auto old = TRY(txn.get(table::tombstones, key))) TRY(erase_tombstone(txn, key, *old));
    TRY(txn.put(table::tombstones, key, tombstone));
    TRY(txn.put(table::tombstones_by_age, {place_by_age(tombstone.when), key}, Present{}));
    TRY(drop_oldest(txn, tombstone.when));
  }
  return note_evicted(txn, record, tombstone);
}

Result<std::optional<Tombstone>> exhume(WriteTxn& txn, const KeyDigest& key) {
  auto tombstone = TRY(txn.get(table::tombstones, key));
  if (tombstone) TRY(erase_tombstone(txn, key, *tombstone));
  return tombstone;
}

Status note_regret(WriteTxn& txn, const Tombstone& tombstone) {
  if (tombstone.rule == damage_rule) return {};  // no policy was wrong about it
  RegretRow row = TRY(txn.get(table::regret, regret_key)).value_or(RegretRow{});
  ++row.regret.count;
  row.regret.build_time += tombstone.build_time;
  return txn.put(table::regret, regret_key, row);
}

Result<Regret> regret_of(const ReadTxn& txn) {
  return TRY(txn.get(table::regret, regret_key)).value_or(RegretRow{}).regret;
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::Tombstone>::encode(const cache::Tombstone& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).i64(to_unix_ns(row.when)).i64(row.build_time.count());
  return writer.string(std::string_view(row.rule).substr(0, cache::rule_bytes_max)).take();
}

Result<cache::Tombstone> Codec<cache::Tombstone>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::Tombstone row;
  row.when = from_unix_ns(TRY(reader.i64()));
  row.build_time = std::chrono::nanoseconds(TRY(reader.i64()));
  row.rule = TRY(reader.string());
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::RegretRow>::encode(const cache::RegretRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.regret.count).i64(row.regret.build_time.count()).take();
}

Result<cache::RegretRow> Codec<cache::RegretRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::RegretRow row;
  row.regret.count = TRY(reader.u64());
  row.regret.build_time = std::chrono::nanoseconds(TRY(reader.i64()));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
