// SPDX-License-Identifier: Apache-2.0
#include "libcache/records/layer_rows.h"

#include "libcache/blobs/blob_rows.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

Status put_layer(WriteTxn& txn, RecordId record, const LayerBlob& layer) {
  const auto old = TRY(txn.get(table::layers, record));
  if (old && old->diff != layer.diff)
    return base::fail(base::ErrorCode::invalid_argument, "record {}: its diff is {}, not {}", record, old->diff, layer.diff);
  TRY(txn.put(table::layers, record, LayerRow{layer.diff}));
  TRY(txn.put(table::diff_records, {layer.diff, record}, Present{}));
  TRY(txn.put(table::diff_blobs, {layer.diff, layer.blob}, DiffBlobRow{layer.compression, layer.size}));
  if (TRY(txn.get_raw(table::blobs, layer.blob.raw()))) TRY(put_record_blob(txn, record, layer.blob));
  return {};
}

Status erase_layer_of(WriteTxn& txn, RecordId record) {
  const auto row = TRY(txn.get(table::layers, record));
  if (!row) return {};
  TRY(txn.erase(table::layers, record));
  TRY(txn.erase(table::diff_records, {row->diff, record}));
  const bool others = TRY(has_rows(txn, table::diff_records, row->diff.raw()));
  if (others) return {};
  for (const LayerBlob& layer : TRY(blobs_of_diff(txn, row->diff))) TRY(txn.erase(table::diff_blobs, {row->diff, layer.blob}));
  return {};
}

Result<std::optional<DiffId>> diff_of(const ReadTxn& txn, RecordId record) {
  const auto row = TRY(txn.get(table::layers, record));
  return row ? std::optional<DiffId>(row->diff) : std::nullopt;
}

Result<std::vector<LayerBlob>> blobs_of_diff(const ReadTxn& txn, const DiffId& diff) {
  std::vector<LayerBlob> blobs;
  TRY(scan_rows(txn, table::diff_blobs, diff.raw(), [&](const auto& key, const DiffBlobRow& row) -> Result<Scan> {
    blobs.push_back({.blob = std::get<1>(key), .size = row.size, .compression = row.compression, .diff = diff});
    return Scan::next;
  }));
  return blobs;
}

Result<RecordId> record_of_tree(const ReadTxn& txn, snapshot::SnapshotId tree) {
  const auto owner = TRY(txn.get(table::tree_owners, tree));
  return owner ? owner->record : RecordId(tree.value());
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::LayerRow>::encode(const cache::LayerRow& row) {
  return ByteWriter().u8(cache::row_version).raw(row.diff.raw()).take();
}

Result<cache::LayerRow> Codec<cache::LayerRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const auto diff = TRY(cache::read_key_part<DiffId>(reader));
  TRY(reader.expect_end());
  return cache::LayerRow{diff};
}

std::string Codec<cache::DiffBlobRow>::encode(const cache::DiffBlobRow& row) {
  return ByteWriter().u8(cache::row_version).u8(static_cast<std::uint8_t>(row.compression)).u64(row.size).take();
}

Result<cache::DiffBlobRow> Codec<cache::DiffBlobRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const std::uint8_t compression = TRY(reader.u8());
  if (compression > static_cast<std::uint8_t>(Compression::zstd))
    return fail(ErrorCode::corrupt, "compression {}", compression);
  const cache::DiffBlobRow row{static_cast<Compression>(compression), TRY(reader.u64())};
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::TreeOwnerRow>::encode(const cache::TreeOwnerRow& row) {
  return ByteWriter().u8(cache::row_version).u64(row.record.value()).take();
}

Result<cache::TreeOwnerRow> Codec<cache::TreeOwnerRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  const cache::TreeOwnerRow row{cache::RecordId(TRY(reader.u64()))};
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
