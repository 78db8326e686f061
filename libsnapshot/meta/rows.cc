// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/rows.h"

#include <array>

namespace cairn::base {
namespace {

constexpr std::uint8_t row_version = 1;
constexpr std::uint8_t flag_stacked = 1;
constexpr std::uint8_t flag_flattened = 2;

Status expect_version(ByteReader& reader) {
  const auto version = TRY(reader.u8());
  if (version != row_version) return fail(ErrorCode::corrupt, "version {} of a row is not known", version);
  return {};
}

}  // namespace

std::string Codec<snapshot::SnapshotRow>::encode(const snapshot::SnapshotRow& row) {
  const auto stacked = row.shape == snapshot::Shape::stacked ? flag_stacked : 0;
  const auto flattened = row.flattened ? flag_flattened : 0;
  return ByteWriter()
      .u8(row_version)
      .u8(static_cast<std::uint8_t>(stacked | flattened))
      .u64(row.parent.value())
      .i64(row.usage.bytes)
      .i64(row.usage.inodes)
      .u32(row.depth)
      .take();
}

Result<snapshot::SnapshotRow> Codec<snapshot::SnapshotRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(expect_version(reader));
  snapshot::SnapshotRow row;
  const auto flags = TRY(reader.u8());
  if ((flags & ~(flag_stacked | flag_flattened)) != 0) return fail(ErrorCode::corrupt, "unknown flags {:#x}", flags);
  row.shape = (flags & flag_stacked) != 0 ? snapshot::Shape::stacked : snapshot::Shape::complete;
  row.flattened = (flags & flag_flattened) != 0;
  row.parent = snapshot::SnapshotId(TRY(reader.u64()));
  row.usage.bytes = TRY(reader.i64());
  row.usage.inodes = TRY(reader.i64());
  row.depth = TRY(reader.u32());
  TRY(reader.expect_end());
  if (row.depth == 0) return fail(ErrorCode::corrupt, "a snapshot of depth 0");
  return row;
}

std::string Codec<snapshot::TrashRow>::encode(const snapshot::TrashRow& row) {
  return ByteWriter().u8(row_version).i64(row.usage.bytes).i64(row.usage.inodes).take();
}

Result<snapshot::TrashRow> Codec<snapshot::TrashRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(expect_version(reader));
  snapshot::TrashRow row;
  row.usage.bytes = TRY(reader.i64());
  row.usage.inodes = TRY(reader.i64());
  TRY(reader.expect_end());
  return row;
}

std::string Codec<snapshot::ChildKey>::encode(const snapshot::ChildKey& key) {
  return ByteWriter().u64_key(key.parent.value()).u64_key(key.child.value()).take();
}

Result<snapshot::ChildKey> Codec<snapshot::ChildKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  snapshot::ChildKey key;
  key.parent = snapshot::SnapshotId(TRY(reader.u64_key()));
  key.child = snapshot::SnapshotId(TRY(reader.u64_key()));
  TRY(reader.expect_end());
  return key;
}

std::string Codec<snapshot::Present>::encode(const snapshot::Present&) { return ByteWriter().u8(row_version).take(); }

Result<snapshot::Present> Codec<snapshot::Present>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(expect_version(reader));
  TRY(reader.expect_end());
  return snapshot::Present{};
}

}  // namespace cairn::base

namespace cairn::snapshot {

SnapshotInfo info_of(SnapshotId id, const SnapshotRow& row) {
  return SnapshotInfo{.id = id,
                      .parent = row.parent,
                      .kind = Kind::committed,
                      .usage = row.usage,
                      .depth = row.depth,
                      .flattened = row.flattened};
}

std::span<const base::lmdb::RawTableSpec* const> tables() {
  static constexpr std::array<const base::lmdb::RawTableSpec*, 4> all = {&snapshot_table, &child_table, &block_table,
                                                                         &trash_table};
  return all;
}

base::Result<std::optional<SnapshotInfo>> find_snapshot(base::lmdb::ReadTxn& txn, SnapshotId id) {
  const auto row = TRY(txn.get(snapshot_table, id));
  if (!row) return std::optional<SnapshotInfo>();
  return std::optional<SnapshotInfo>(info_of(id, *row));
}

base::Status each_snapshot(base::lmdb::ReadTxn& txn,
                           const std::function<base::Result<base::lmdb::Scan>(const SnapshotInfo&)>& visit) {
  return txn.scan(snapshot_table, "",
                  std::function<base::Result<base::lmdb::Scan>(const SnapshotId&, const SnapshotRow&)>(
                      [&](const SnapshotId& id, const SnapshotRow& row) { return visit(info_of(id, row)); }));
}

base::Status each_trash(base::lmdb::ReadTxn& txn,
                        const std::function<base::Result<base::lmdb::Scan>(SnapshotId, Usage)>& visit) {
  return txn.scan(trash_table, "",
                  std::function<base::Result<base::lmdb::Scan>(const SnapshotId&, const TrashRow&)>(
                      [&](const SnapshotId& id, const TrashRow& row) { return visit(id, row.usage); }));
}

}  // namespace cairn::snapshot
