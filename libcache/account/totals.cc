// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/totals.h"

#include "libcache/records/layer_rows.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

Totals totals_of(const RecordRow& row) {
  return {.count = 1,
          .exclusive_bytes = row.space.exclusive_bytes + row.space.blob_exclusive_bytes,
          .shared_bytes = row.space.shared_bytes + row.space.blob_shared_bytes,
          .inodes = row.space.exclusive_inodes};
}

std::vector<TotalKey> totals_that_count(const RecordFacts& facts) {
  return {line_total(line::records),
          {TotalKind::type, std::string(to_string(facts.type))},
          {TotalKind::project, facts.owner.project},
          {TotalKind::build, facts.owner.build},
          {TotalKind::step, facts.owner.step}};
}

void count_row(TotalMap& changes, const RecordFacts& facts, const Totals& change) {
  if (change == Totals{}) return;
  for (const TotalKey& key : totals_that_count(facts)) changes[key] += change;
}

bool counted_alike(const RecordFacts& a, const RecordFacts& b) { return a.type == b.type && a.owner == b.owner; }

}  // namespace

Totals& Totals::operator+=(const Totals& other) {
  count += other.count;
  exclusive_bytes += other.exclusive_bytes;
  shared_bytes += other.shared_bytes;
  inodes += other.inodes;
  return *this;
}

Result<Totals> total_of(const ReadTxn& txn, const TotalKey& key) {
  return TRY(txn.get(table::totals, key)).value_or(Totals{});
}

Status change_total(WriteTxn& txn, const TotalKey& key, const Totals& change) {
  Totals totals = TRY(total_of(txn, key));
  totals += change;
  if (totals == Totals{} && key.kind != TotalKind::line) return txn.erase(table::totals, key);
  return txn.put(table::totals, key, totals);
}

Status put_record(WriteTxn& txn, RecordId id, const RecordRow& row) {
  TotalMap changes;
  TRY(put_record(txn, id, row, changes));
  return change_totals(txn, changes);
}

Status put_record(WriteTxn& txn, RecordId id, const RecordRow& row, TotalMap& changes) {
  const auto old = TRY(txn.get(table::records, id));
  TRY(txn.put(table::records, id, row));
  if (old && counted_alike(old->facts, row.facts)) {
    Totals change = totals_of(row);
    change += -totals_of(*old);
    count_row(changes, row.facts, change);
    return {};
  }
  if (old) count_row(changes, old->facts, -totals_of(*old));
  count_row(changes, row.facts, totals_of(row));
  return {};
}

Status erase_record_row(WriteTxn& txn, RecordId id, TotalMap& changes) {
  const auto old = TRY(txn.get(table::records, id));
  if (!old) return {};
  for (const TotalKey& key : totals_that_count(old->facts)) changes[key] += -totals_of(*old);
  return txn.erase(table::records, id);
}

Status change_totals(WriteTxn& txn, const TotalMap& changes) {
  for (const auto& [key, change] : changes)
    if (change != Totals{}) TRY(change_total(txn, key, change));
  return {};
}

void add_to(RecordSpace& space, const RecordSpace& change) {
  space.exclusive_bytes += change.exclusive_bytes;
  space.exclusive_inodes += change.exclusive_inodes;
  space.shared_bytes += change.shared_bytes;
  space.blob_exclusive_bytes += change.blob_exclusive_bytes;
  space.blob_shared_bytes += change.blob_shared_bytes;
}

Status change_space(WriteTxn& txn, RecordId id, const RecordSpace& change) {
  return apply(txn, {.spaces = {{id, change}}, .totals = {}});
}

Status apply(WriteTxn& txn, SpaceChanges changes) {
  for (const auto& [id, change] : changes.spaces) {
    auto row = TRY(txn.get(table::records, id));
    if (!row) continue;
    add_to(row->space, change);
    TRY(put_record(txn, id, *row, changes.totals));
  }
  return change_totals(txn, changes.totals);
}

void set_tree_space(RecordSpace& space, const snapshot::SnapshotInfo& tree) {
  space.exclusive_bytes = tree.exclusive.bytes;
  space.exclusive_inodes = tree.exclusive.inodes;
  space.shared_bytes = tree.usage.bytes + tree.flat.bytes - tree.exclusive.bytes;
}

Status note_exclusive_change(WriteTxn& txn, const snapshot::SnapshotInfo& now) {
  const RecordId id = TRY(record_of_tree(txn, now.id));
  auto row = TRY(txn.get(table::records, id));
  if (!row) return {};
  set_tree_space(row->space, now);
  return put_record(txn, id, *row);
}

void count_record(TotalMap& totals, const RecordRow& row) {
  for (const TotalKey& key : totals_that_count(row.facts)) totals[key] += totals_of(row);
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::TotalKey>::encode(const cache::TotalKey& key) {
  return ByteWriter().u8(static_cast<std::uint8_t>(key.kind)).raw(key.name).take();
}

Result<cache::TotalKey> Codec<cache::TotalKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const std::uint8_t kind = TRY(reader.u8());
  if (kind > static_cast<std::uint8_t>(cache::TotalKind::step)) return fail(ErrorCode::corrupt, "sum of kind {}", kind);
  return cache::TotalKey{static_cast<cache::TotalKind>(kind), std::string(reader.rest())};
}

std::string Codec<cache::Totals>::encode(const cache::Totals& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).i64(row.count).i64(row.exclusive_bytes).i64(row.shared_bytes).i64(row.inodes);
  return writer.take();
}

Result<cache::Totals> Codec<cache::Totals>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::Totals row;
  row.count = TRY(reader.i64());
  row.exclusive_bytes = TRY(reader.i64());
  row.shared_bytes = TRY(reader.i64());
  row.inodes = TRY(reader.i64());
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
