// SPDX-License-Identifier: Apache-2.0
// The tables about records, and their rows. Records of version 1 are read; rows are written as version 2. A record row's
// space and facts are counted in cache.totals: put_record and erase_record_row of libcache/account/totals.h write it. Layouts are frozen by docs/formats/store.md and its fixtures.
#pragma once

#include <tuple>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

// What a row of cache.records says: everything but the id, which is its key.
struct RecordRow {
  snapshot::SnapshotId snapshot;
  std::vector<RecordId> parents;
  RecordFacts facts;
  snapshot::Usage usage;
  base::WallTime created{};
  base::WallTime last_used{};
  std::uint64_t use_count = 0;
  RecordKind kind = RecordKind::layer;
  RecordSpace space{};
};
RecordRow to_row(const RecordInfo& info);
RecordInfo to_info(RecordId id, RecordRow row);

// Names a list of selections in cache.tree_digests.
using SelectionsDigest = base::Digest<struct SelectionsMeaning>;
SelectionsDigest digest_selections(const std::vector<Selection>& selections);

// A digest of a tree, as remembered. Its own type, so that a row has a version byte.
struct TreeDigestRow {
  TreeDigest digest;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::RecordRow> {
  static std::string encode(const cache::RecordRow& row);
  static Result<cache::RecordRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::TreeDigestRow> {
  static std::string encode(const cache::TreeDigestRow& row);
  static Result<cache::TreeDigestRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

inline constexpr TableSpec<RecordId, RecordRow> records{{"cache.records", Precious::persistent}};
// (parent, child)
inline constexpr TableSpec<std::tuple<RecordId, RecordId>, Present> children{{"cache.children", Precious::rebuildable}};
inline constexpr TableSpec<std::tuple<ChainId, RecordId>, Present> chains{{"cache.chains", Precious::rebuildable}};
inline constexpr TableSpec<std::tuple<RecordId, SelectionsDigest>, TreeDigestRow> tree_digests{
    {"cache.tree_digests", Precious::rebuildable}};

}  // namespace cairn::cache::table
