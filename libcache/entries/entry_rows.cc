// SPDX-License-Identifier: Apache-2.0
#include "libcache/entries/entry_rows.h"

#include "libbase/crash_point.h"
#include "libcache/account/check.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/entries/promotion_rows.h"
#include "libcache/entry_store.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/reopened.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;

Status put_entry(WriteTxn& txn, const BatchEntry& entry) {
  for (const RecordId other : TRY(results_of(txn, entry.key)))
    if (other != entry.record) TRY(replace_record(txn, other));
  if (entry.instead_of)
    for (const RecordId other : TRY(results_of(txn, *entry.instead_of))) TRY(replace_record(txn, other));
  if (entry.promotion) TRY(txn.put(table::promotions, entry.record, *entry.promotion));
  TRY(txn.put(table::entries, entry.record, entry.row));
  CRASH_POINT("cache.entry.rows_written");
  return {};
}

Status erase_entry_of(WriteTxn& txn, RecordId record) { return txn.erase(table::entries, record); }

Status check_entries(CheckState& state) {
  return each_row(state.env, table::entries, [&](ReadTxn& txn, const RecordId& id, const EntryRow& row) -> Status {
    const auto record = state.records.find(id);
    if (record == state.records.end()) state.found(5, "entry {}: its record does not exist", id);
    else if (record->second.snapshot) state.found(5, "entry {}: its record has a tree", id);
    const bool named = TRY(has_row(txn, table::record_blobs, std::tuple(id, row.value)));
    // Where the value was damaged, no key leads to the entry any more, and the next collection takes it.
    if (!named && TRY(has_rows(txn, table::record_keys, key_prefix(id))))
      state.found(5, "entry {}: its record does not name its value {}", id, row.value);
    const auto blob = TRY(txn.get(table::blobs, row.value));
    if (blob && blob->size != row.value_bytes)
      state.found(2, "entry {}: its value {} has {} bytes instead of {}", id, row.value, blob->size, row.value_bytes);
    return {};
  });
}

}  // namespace cairn::cache

namespace cairn::base {

namespace {
constexpr std::uint8_t namespace_mark = 1;  // behind the attributes; nothing: it was put without one
}

std::string Codec<cache::EntryRow>::encode(const cache::EntryRow& row) {
  ByteWriter writer;
  writer.u8(cache::row_version).raw(row.value.raw()).varint(row.value_bytes).string(row.attributes);
  if (row.in_namespace) writer.u8(namespace_mark);
  return writer.take();
}

Result<cache::EntryRow> Codec<cache::EntryRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::EntryRow row;
  row.value = TRY(cache::read_key_part<BlobDigest>(reader));
  row.value_bytes = TRY(reader.varint());
  row.attributes = TRY(reader.string());
  if (row.attributes.size() > cache::entry_attributes_bytes_max)
    return fail(ErrorCode::corrupt, "an entry with attributes of {} bytes", row.attributes.size());
  if (!reader.at_end()) {
    row.in_namespace = TRY(reader.u8()) == namespace_mark;
    if (!row.in_namespace) return fail(ErrorCode::corrupt, "an entry with a strange mark");
  }
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
