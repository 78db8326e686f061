// SPDX-License-Identifier: Apache-2.0
// The rows of this library: what a committed snapshot, a child link, a block of ids and a piece of trash look like in
// LMDB (docs/formats/store.md). Each value starts with a version byte; rows of version 1 are read, and written anew as
// version 2.
#pragma once

#include <cstdint>
#include <vector>

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
  std::vector<SnapshotId> stacked_on;  // of a merge, which has no parent: whose fs/ lie below its own, nearest first
  Usage usage;                         // of fs/ and the tree's own directory
  Usage flat;                          // of flat/
  Usage exclusive;                     // of both together, less what other snapshots name, too
  std::uint32_t depth = 1;
  Shape shape = Shape::complete;
  bool flattened = false;  // flat/ holds the whole tree and is what mounts use
  LayerMarks marks;
  base::WallTime created{};
  base::WallTime updated{};
  Labels labels;

  // All parents: the one it was forked from, or those that it stacks.
  std::vector<SnapshotId> parents() const { return parent ? std::vector<SnapshotId>{parent} : stacked_on; }
};
struct TrashRow {
  Usage usage;
};

inline constexpr std::size_t stacked_on_max = 4096;
struct ChildKey {
  SnapshotId parent;
  SnapshotId child;
};
// An inode that several snapshots name, or did (libsnapshot/meta/sharing.h).
struct InodeRow {
  std::uint32_t count = 0;   // of the snapshots that name it
  std::uint64_t owners = 0;  // their ids, xored
  Usage usage;
};
using InodeNumber = base::Id<struct InodeMeaning>;
struct ClaimKey {  // a snapshot that is counted in an inode's row
  SnapshotId owner;
  std::uint64_t inode = 0;
};
// An active tree that outlives its process (libsnapshot/lent.h).
struct LentRow {
  SnapshotId parent;
  Shape shape = Shape::complete;
  base::WallTime created{};
};
struct TotalRow {
  Usage usage;
};
// A row whose presence is all it says.
struct Present {};

using SnapshotTable = base::lmdb::TableSpec<SnapshotId, SnapshotRow>;
using ChildTable = base::lmdb::TableSpec<ChildKey, Present>;
using BlockTable = base::lmdb::TableSpec<SnapshotId, Present>;
using TrashTable = base::lmdb::TableSpec<SnapshotId, TrashRow>;
using InodeTable = base::lmdb::TableSpec<InodeNumber, InodeRow>;
using ClaimTable = base::lmdb::TableSpec<ClaimKey, Present>;
using LentTable = base::lmdb::TableSpec<SnapshotId, LentRow>;
using TotalTable = base::lmdb::TableSpec<std::string, TotalRow>;

inline constexpr SnapshotTable snapshot_table{{"snapshot.snapshots", base::lmdb::Precious::persistent}};
inline constexpr ChildTable child_table{{"snapshot.children", base::lmdb::Precious::rebuildable}};
inline constexpr BlockTable block_table{{"snapshot.id_blocks", base::lmdb::Precious::persistent}};
inline constexpr TrashTable trash_table{{"snapshot.trash", base::lmdb::Precious::persistent}};
inline constexpr InodeTable inode_table{{"snapshot.shared_inodes", base::lmdb::Precious::persistent}};
inline constexpr ClaimTable claim_table{{"snapshot.claims", base::lmdb::Precious::persistent}};
// Snapshots that are being given a flat copy: until a row names it nothing else says that it is there.
inline constexpr BlockTable squash_table{{"snapshot.squashes", base::lmdb::Precious::persistent}};
inline constexpr LentTable lent_table{{"snapshot.lent", base::lmdb::Precious::persistent}};
inline constexpr TotalTable total_table{{"snapshot.totals", base::lmdb::Precious::rebuildable}};

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
struct Codec<snapshot::InodeRow> {
  static std::string encode(const snapshot::InodeRow& row);
  static Result<snapshot::InodeRow> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::ClaimKey> {  // owner, inode: what one snapshot claims is one prefix
  static std::string encode(const snapshot::ClaimKey& key);
  static Result<snapshot::ClaimKey> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::LentRow> {
  static std::string encode(const snapshot::LentRow& row);
  static Result<snapshot::LentRow> decode(std::string_view bytes);
};
template <>
struct Codec<snapshot::TotalRow> {
  static std::string encode(const snapshot::TotalRow& row);
  static Result<snapshot::TotalRow> decode(std::string_view bytes);
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
