// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/rows.h"

#include "libsnapshot/lent.h"

#include <array>

namespace cairn::base {
namespace {

using snapshot::LayerMarks;
using snapshot::Shape;
using snapshot::SnapshotId;
using snapshot::Usage;

constexpr std::uint8_t oldest_version = 1;
constexpr std::uint8_t row_version = 2;      // of snapshots and trash
constexpr std::uint8_t present_version = 1;
constexpr std::uint8_t inode_version = 1;
constexpr std::uint8_t total_version = 1;
constexpr std::uint8_t lent_version = 1;

constexpr std::uint8_t flag_stacked = 1;
constexpr std::uint8_t flag_flattened = 2;
constexpr std::uint8_t flag_opaque = 4;
constexpr std::uint8_t flag_whiteouts = 8;

Result<std::uint8_t> read_version(ByteReader& reader) {
  const auto version = TRY(reader.u8());
  if (version < oldest_version || version > row_version) {
    return fail(ErrorCode::corrupt, "version {} of a row is not known", version);
  }
  return version;
}

void write_usage(ByteWriter& writer, const Usage& usage) {
  writer.i64(usage.bytes).i64(usage.inodes).i64(usage.logical_bytes);
}

Result<Usage> read_usage(ByteReader& reader, std::uint8_t version) {
  Usage usage;
  usage.bytes = TRY(reader.i64());
  usage.inodes = TRY(reader.i64());
  // Version 1 did not measure sizes; allocated blocks are the best that is known.
  usage.logical_bytes = version == 1 ? usage.bytes : TRY(reader.i64());
  return usage;
}

std::uint8_t flags_of(const snapshot::SnapshotRow& row) {
  const int stacked = row.shape == Shape::stacked ? flag_stacked : 0;
  const int flattened = row.flattened ? flag_flattened : 0;
  const int opaque = row.marks.opaque ? flag_opaque : 0;
  const int whiteouts = row.marks.whiteouts ? flag_whiteouts : 0;
  return static_cast<std::uint8_t>(stacked | flattened | opaque | whiteouts);
}

Status set_flags(snapshot::SnapshotRow& row, std::uint8_t flags, std::uint8_t version) {
  const unsigned known = version == 1 ? flag_stacked | flag_flattened
                                      : flag_stacked | flag_flattened | flag_opaque | flag_whiteouts;
  if ((flags & ~known) != 0) return fail(ErrorCode::corrupt, "unknown flags {:#x}", flags);
  row.shape = (flags & flag_stacked) != 0 ? Shape::stacked : Shape::complete;
  row.flattened = (flags & flag_flattened) != 0;
  // Version 1 did not look for them.
  const bool unknown = version == 1 && row.shape == Shape::stacked;
  row.marks = LayerMarks{.opaque = unknown || (flags & flag_opaque) != 0,
                         .whiteouts = unknown || (flags & flag_whiteouts) != 0};
  return {};
}

Result<std::vector<SnapshotId>> read_ids(ByteReader& reader) {
  const auto count = TRY(reader.varint());
  if (count > snapshot::stacked_on_max) return fail(ErrorCode::corrupt, "a snapshot stacked on {} others", count);
  std::vector<SnapshotId> ids;
  for (std::uint64_t i = 0; i < count; ++i) {
    ids.emplace_back(TRY(reader.u64()));
    if (!ids.back()) return fail(ErrorCode::corrupt, "a snapshot stacked on none");
  }
  return ids;
}

}  // namespace

std::string Codec<snapshot::SnapshotRow>::encode(const snapshot::SnapshotRow& row) {
  ByteWriter writer;
  writer.u8(row_version).u8(flags_of(row)).u64(row.parent.value()).u32(row.depth);
  write_usage(writer, row.usage);
  write_usage(writer, row.flat);
  write_usage(writer, row.exclusive);
  writer.i64(base::to_unix_ns(row.created)).i64(base::to_unix_ns(row.updated));
  writer.varint(row.stacked_on.size());
  for (const auto id : row.stacked_on) writer.u64(id.value());
  snapshot::write_labels(writer, row.labels);
  return writer.take();
}

namespace {

Result<snapshot::SnapshotRow> decode_version_1(ByteReader& reader, std::uint8_t flags) {
  snapshot::SnapshotRow row;
  TRY(set_flags(row, flags, 1));
  row.parent = SnapshotId(TRY(reader.u64()));
  row.usage = TRY(read_usage(reader, 1));  // the flat copy's is in it
  row.exclusive = row.usage;               // nothing was ever shared
  row.depth = TRY(reader.u32());
  return row;
}

Result<snapshot::SnapshotRow> decode_version_2(ByteReader& reader, std::uint8_t flags) {
  snapshot::SnapshotRow row;
  TRY(set_flags(row, flags, 2));
  row.parent = SnapshotId(TRY(reader.u64()));
  row.depth = TRY(reader.u32());
  row.usage = TRY(read_usage(reader, 2));
  row.flat = TRY(read_usage(reader, 2));
  row.exclusive = TRY(read_usage(reader, 2));
  row.created = base::from_unix_ns(TRY(reader.i64()));
  row.updated = base::from_unix_ns(TRY(reader.i64()));
  row.stacked_on = TRY(read_ids(reader));
  row.labels = TRY(snapshot::read_labels(reader));
  return row;
}

}  // namespace

Result<snapshot::SnapshotRow> Codec<snapshot::SnapshotRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  const auto version = TRY(read_version(reader));
  const auto flags = TRY(reader.u8());
  auto row = TRY(version == 1 ? decode_version_1(reader, flags) : decode_version_2(reader, flags));
  TRY(reader.expect_end());
  if (row.depth == 0) return fail(ErrorCode::corrupt, "a snapshot of depth 0");
  if (row.parent && !row.stacked_on.empty()) return fail(ErrorCode::corrupt, "a merge with a parent");
  if (!row.stacked_on.empty() && row.shape != Shape::stacked) return fail(ErrorCode::corrupt, "a merge that is complete");
  return row;
}

std::string Codec<snapshot::TrashRow>::encode(const snapshot::TrashRow& row) {
  ByteWriter writer;
  writer.u8(row_version);
  write_usage(writer, row.usage);
  return writer.take();
}

Result<snapshot::TrashRow> Codec<snapshot::TrashRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  snapshot::TrashRow row;
  const auto version = TRY(read_version(reader));
  row.usage = TRY(read_usage(reader, version));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<snapshot::InodeRow>::encode(const snapshot::InodeRow& row) {
  ByteWriter writer;
  writer.u8(inode_version).u32(row.count).u64(row.owners);
  write_usage(writer, row.usage);
  return writer.take();
}

Result<snapshot::InodeRow> Codec<snapshot::InodeRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  if (TRY(reader.u8()) != inode_version) return fail(ErrorCode::corrupt, "version of a row is not known");
  snapshot::InodeRow row;
  row.count = TRY(reader.u32());
  row.owners = TRY(reader.u64());
  row.usage = TRY(read_usage(reader, row_version));
  TRY(reader.expect_end());
  if (row.count == 0) return fail(ErrorCode::corrupt, "an inode that nobody names");
  return row;
}

std::string Codec<snapshot::ClaimKey>::encode(const snapshot::ClaimKey& key) {
  return ByteWriter().u64_key(key.owner.value()).u64_key(key.inode).take();
}

Result<snapshot::ClaimKey> Codec<snapshot::ClaimKey>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  snapshot::ClaimKey key;
  key.owner = SnapshotId(TRY(reader.u64_key()));
  key.inode = TRY(reader.u64_key());
  TRY(reader.expect_end());
  return key;
}

std::string Codec<snapshot::LentRow>::encode(const snapshot::LentRow& row) {
  const std::uint8_t flags = row.shape == Shape::stacked ? flag_stacked : 0;
  return ByteWriter().u8(lent_version).u8(flags).u64(row.parent.value()).i64(base::to_unix_ns(row.created)).take();
}

Result<snapshot::LentRow> Codec<snapshot::LentRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  if (TRY(reader.u8()) != lent_version) return fail(ErrorCode::corrupt, "version of a row is not known");
  const auto flags = TRY(reader.u8());
  if ((flags & ~flag_stacked) != 0) return fail(ErrorCode::corrupt, "unknown flags {:#x}", flags);
  snapshot::LentRow row;
  row.shape = flags == flag_stacked ? Shape::stacked : Shape::complete;
  row.parent = SnapshotId(TRY(reader.u64()));
  row.created = base::from_unix_ns(TRY(reader.i64()));
  TRY(reader.expect_end());
  return row;
}

std::string Codec<snapshot::TotalRow>::encode(const snapshot::TotalRow& row) {
  ByteWriter writer;
  writer.u8(total_version);
  write_usage(writer, row.usage);
  return writer.take();
}

Result<snapshot::TotalRow> Codec<snapshot::TotalRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  if (TRY(reader.u8()) != total_version) return fail(ErrorCode::corrupt, "version of a row is not known");
  snapshot::TotalRow row;
  row.usage = TRY(read_usage(reader, row_version));
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

std::string Codec<snapshot::Present>::encode(const snapshot::Present&) { return ByteWriter().u8(present_version).take(); }

Result<snapshot::Present> Codec<snapshot::Present>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  if (TRY(reader.u8()) != present_version) return fail(ErrorCode::corrupt, "version of a row is not known");
  TRY(reader.expect_end());
  return snapshot::Present{};
}

}  // namespace cairn::base

namespace cairn::snapshot {
namespace {

constexpr std::size_t label_bytes_max = 4096;
constexpr std::size_t labels_bytes_max = 64 * 1024;
constexpr std::string_view label_field = "labels.";

}  // namespace

Usage& Usage::operator+=(const Usage& other) {
  bytes += other.bytes;
  inodes += other.inodes;
  logical_bytes += other.logical_bytes;
  return *this;
}

Usage& Usage::operator-=(const Usage& other) {
  bytes -= other.bytes;
  inodes -= other.inodes;
  logical_bytes -= other.logical_bytes;
  return *this;
}

std::string_view to_string(Kind kind) {
  switch (kind) {
    case Kind::view: return "view";
    case Kind::active: return "active";
    case Kind::frozen: return "frozen";
    case Kind::committed: return "committed";
  }
  return "";
}

base::Status check_labels(const Labels& labels) {
  std::size_t total = 0;
  for (const auto& [key, value] : labels) {
    if (key.empty()) return base::fail(base::ErrorCode::invalid_argument, "a label without a name");
    if (key.size() + value.size() > label_bytes_max) {
      return base::fail(base::ErrorCode::invalid_argument, "label \"{}\": {} bytes are more than {}", key.substr(0, 64),
                        key.size() + value.size(), label_bytes_max);
    }
    total += key.size() + value.size();
  }
  if (total > labels_bytes_max) {
    return base::fail(base::ErrorCode::invalid_argument, "labels: {} bytes are more than {}", total, labels_bytes_max);
  }
  return {};
}

void write_labels(base::ByteWriter& writer, const Labels& labels) {
  writer.varint(labels.size());
  for (const auto& [key, value] : labels) writer.string(key).string(value);
}

base::Result<Labels> read_labels(base::ByteReader& reader) {
  Labels labels;
  const auto count = TRY(reader.varint());
  for (std::uint64_t i = 0; i < count; ++i) {
    std::string key(TRY(reader.string()));
    if (!labels.empty() && key <= labels.rbegin()->first) return base::fail(base::ErrorCode::corrupt, "labels out of order");
    labels.emplace_hint(labels.end(), std::move(key), TRY(reader.string()));
  }
  if (auto checked = check_labels(labels); !checked) {
    return base::fail(base::ErrorCode::corrupt, "{}", checked.error().message);
  }
  return labels;
}

base::Result<Labels> edit_labels(const Labels& old, const Labels& given, std::span<const std::string> fields) {
  Labels result = fields.empty() ? given : old;
  for (const auto& field : fields) {
    if (field == "labels") {
      result = given;
    } else if (field.starts_with(label_field) && field.size() > label_field.size()) {
      const auto key = field.substr(label_field.size());
      const auto value = given.find(key);
      result.erase(key);
      if (value != given.end() && !value->second.empty()) result.emplace(key, value->second);
    } else {
      return base::fail(base::ErrorCode::invalid_argument, "field \"{}\" cannot be updated: only labels can", field);
    }
  }
  TRY(check_labels(result));
  return result;
}

SnapshotInfo info_of(SnapshotId id, const SnapshotRow& row) {
  return SnapshotInfo{.id = id,
                      .parent = row.parent,
                      .kind = Kind::committed,
                      .usage = row.usage,
                      .flat = row.flat,
                      .exclusive = row.exclusive,
                      .depth = row.depth,
                      .flattened = row.flattened,
                      .marks = row.marks,
                      .stacked_on = row.stacked_on,
                      .labels = row.labels,
                      .created = row.created,
                      .updated = row.updated};
}

std::span<const base::lmdb::RawTableSpec* const> tables() {
  static constexpr std::array<const base::lmdb::RawTableSpec*, 9> all = {
      &snapshot_table, &child_table, &block_table, &trash_table, &squash_table,
      &inode_table,    &claim_table, &total_table, &lent_table};
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
