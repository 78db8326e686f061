// SPDX-License-Identifier: Apache-2.0
// The tables of the key graph. Each fact has a row in both directions, written and erased together, so that every
// question is one prefix scan: key → results, record → keys, (key, way) → targets, target → where it was reached from.
#pragma once

#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/key_store.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

// Names what a link says besides its ends: input, operation, output and selector.
using LinkWay = base::Digest<struct LinkWayMeaning>;
LinkWay way_of(const KeyLink& link);

struct KeyResultRow {
  base::WallTime created{};
};

// The value of cache.key_links. `from` is in the table's key, and so is the target.
struct KeyLinkRow {
  std::uint32_t input = 0;
  base::Sha256Bytes operation{};
  std::uint32_t output = 0;
  base::Sha256Bytes selector{};
  auto operator<=>(const KeyLinkRow&) const = default;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::KeyResultRow> {
  static std::string encode(const cache::KeyResultRow& row);
  static Result<cache::KeyResultRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::KeyLinkRow> {
  static std::string encode(const cache::KeyLinkRow& row);
  static Result<cache::KeyLinkRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

using base::lmdb::Precious;
using base::lmdb::TableSpec;

// Record 0: scratch.
inline constexpr TableSpec<std::tuple<KeyDigest, RecordId>, KeyResultRow> key_results{
    {"cache.key_results", Precious::persistent}};
inline constexpr TableSpec<std::tuple<RecordId, KeyDigest>, Present> record_keys{
    {"cache.record_keys", Precious::rebuildable}};
// (from, way, target)
inline constexpr TableSpec<std::tuple<KeyDigest, LinkWay, KeyDigest>, KeyLinkRow> key_links{
    {"cache.key_links", Precious::persistent}};
// (target, from, way)
inline constexpr TableSpec<std::tuple<KeyDigest, KeyDigest, LinkWay>, Present> key_backlinks{
    {"cache.key_backlinks", Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// Writes of whole facts, both directions at once.
base::Status put_result(base::lmdb::WriteTxn& txn, const KeyDigest& key, RecordId record, base::WallTime created);
base::Status put_link(base::lmdb::WriteTxn& txn, const KeyLink& link, const KeyDigest& target);

// The records that a key leads to, the newest first.
base::Result<std::vector<RecordId>> results_of(const base::lmdb::ReadTxn& txn, const KeyDigest& key);

// A key is known while it has a result or leads somewhere.
base::Result<bool> key_exists(const base::lmdb::ReadTxn& txn, const KeyDigest& key);

// Erases the results of a record, then the keys that this leaves without a result and without a way on, together with
// the links to them, and so on towards the roots. Looks at no more than `keys_max` keys; those left over are appended to
// `rest` (which is also where it begins: keys to look at).
base::Status erase_results_of(base::lmdb::WriteTxn& txn, RecordId record, std::vector<KeyDigest>& rest);
base::Status erase_dead_keys(base::lmdb::WriteTxn& txn, std::vector<KeyDigest>& rest, std::size_t keys_max);

}  // namespace cairn::cache
