// SPDX-License-Identifier: Apache-2.0
// The rows of this library: what a committed snapshot, a child link, a block of ids and a piece of trash look like in
// LMDB. Each value starts with a version byte.
#pragma once

#include <cstdint>

#include "libbase/lmdb/env.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// How the files of a tree are to be read. A store may have been written by different drivers over time, so the row and
// not the driver of today decides.
enum class Shape : std::uint8_t {
  complete = 0,  // fs/ is the whole tree
  stacked = 1,   // fs/ is an overlay upper: what changed on top of the parent
};

struct SnapshotRow {
  SnapshotId parent;
  Usage usage;
  std::uint32_t depth = 1;
  Shape shape = Shape::complete;
  bool flattened = false;  // flat/ holds the whole tree and is what mounts use
};
struct TrashRow {
  Usage usage;
};
struct ChildKey {
  SnapshotId parent;
  SnapshotId child;
};
// A row whose presence is all it says.
struct Present {};

using SnapshotTable = base::lmdb::TableSpec<SnapshotId, SnapshotRow>;
using ChildTable = base::lmdb::TableSpec<ChildKey, Present>;
using BlockTable = base::lmdb::TableSpec<SnapshotId, Present>;
using TrashTable = base::lmdb::TableSpec<SnapshotId, TrashRow>;

inline constexpr SnapshotTable snapshot_table{{"snapshot.snapshots", base::lmdb::Precious::persistent}};
inline constexpr ChildTable child_table{{"snapshot.children", base::lmdb::Precious::rebuildable}};
inline constexpr BlockTable block_table{{"snapshot.id_blocks", base::lmdb::Precious::persistent}};
inline constexpr TrashTable trash_table{{"snapshot.trash", base::lmdb::Precious::persistent}};

SnapshotInfo info_of(SnapshotId id, const SnapshotRow& row);

}  // namespace cairn::snapshot

namespace cairn::base {

template <>
struct Codec<snapshot::SnapshotRow> {
  static std::string encode(const snapshot::SnapshotRow& row);
  static Result<snapshot::SnapshotRow> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::TrashRow> {
  static std::string encode(const snapshot::TrashRow& row);
  static Result<snapshot::TrashRow> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::ChildKey> {  // parent, child: children of one parent are one prefix
  static std::string encode(const snapshot::ChildKey& key);
  static Result<snapshot::ChildKey> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::Present> {
  static std::string encode(const snapshot::Present& row);
  static Result<snapshot::Present> decode(std::string_view bytes);
};

}  // namespace cairn::base
