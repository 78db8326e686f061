// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/seal_rows.h"

#include <vector>

#include "libcache/gc/tombstones.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t keys_max = 4096;  // dead ones that one mark looks at; links that are left over lead to nothing

}  // namespace

Result<bool> is_damaged(const ReadTxn& txn, RecordId record) {
  if (TRY(txn.count(table::damaged_records)) == 0) return false;
  return TRY(txn.get(table::damaged_records, record)).has_value();
}

Status mark_damaged(WriteTxn& txn, RecordId record, const QuarantineRow& why) {
  if (TRY(is_damaged(txn, record))) return {};
  const auto row = TRY(txn.get(table::records, record));
  CHECK(row, "record {} is marked as damaged and does not exist", record);
  TRY(txn.put(table::damaged_records, record, why));
  TRY(bury_keys_of(txn, record, {why.when, std::string(damage_rule), row->facts.build_time}));
  std::vector<KeyDigest> keys;
  TRY(erase_results_of(txn, record, keys));
  TRY(erase_dead_keys(txn, keys, keys_max));
  return admit_candidate(txn, record);  // as one without a key, if nothing is built on it
}

Status erase_seals_of(WriteTxn& txn, RecordId record, snapshot::SnapshotId snapshot) {
  if (snapshot) TRY(txn.erase(table::tree_seals, snapshot));
  return txn.erase(table::damaged_records, record);
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::SealRow>::encode(const cache::SealRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).u8(row.rules).raw(row.changes.raw()).u8(row.flat ? 1 : 0);
  if (row.flat) writer.raw(row.flat->raw());
  return writer.take();
}

Result<cache::SealRow> Codec<cache::SealRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::SealRow row;
  row.rules = TRY(reader.u8());
  row.changes = TRY(cache::read_key_part<cache::TreeSeal>(reader));
  const std::uint8_t has_flat = TRY(reader.u8());
  if (has_flat > 1) return fail(ErrorCode::corrupt, "flag of a flat copy {}", has_flat);
  if (has_flat == 1) row.flat = TRY(cache::read_key_part<cache::TreeSeal>(reader));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::TreeScrubRow>::encode(const cache::TreeScrubRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.next.value()).take();
}

Result<cache::TreeScrubRow> Codec<cache::TreeScrubRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::TreeScrubRow row;
  row.next = cache::RecordId(TRY(reader.u64()));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
