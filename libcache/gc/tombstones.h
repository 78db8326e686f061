// SPDX-License-Identifier: Apache-2.0
// What is left of a key whose record was taken: when, by which rule, and what it takes to make it again. So a later miss
// can say why, and making it again counts as regret. Few bytes each; at most tombstones_max of them, none older than
// tombstone_age_max: the oldest go first, in the transactions that add new ones.
#pragma once

#include "libbase/lmdb/env.h"
#include "libcache/gc/candidates.h"
#include "libcache/key_store.h"
#include "libcache/prune.h"

namespace cairn::cache {

inline constexpr std::uint64_t tombstones_max = 100'000;
inline constexpr std::chrono::hours tombstone_age_max{24 * 30};

struct RegretRow {
  Regret regret;
};

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::Tombstone> {
  static std::string encode(const cache::Tombstone& row);
  static Result<cache::Tombstone> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::RegretRow> {
  static std::string encode(const cache::RegretRow& row);
  static Result<cache::RegretRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<KeyDigest, Tombstone> tombstones{
    {"cache.tombstones", base::lmdb::Precious::ephemeral}};
// (when in unix ns, key)
inline constexpr base::lmdb::TableSpec<std::tuple<Rank, KeyDigest>, Present> tombstones_by_age{
    {"cache.tombstones_by_age", base::lmdb::Precious::ephemeral}};
inline constexpr base::lmdb::TableSpec<std::string, RegretRow> regret{{"cache.regret", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// Every key that leads to the record and to no other gets this tombstone. Before its results are erased.
base::Status bury_keys_of(base::lmdb::WriteTxn& txn, RecordId record, const Tombstone& tombstone);
// The key leads somewhere again: what it had, which goes.
base::Result<std::optional<Tombstone>> exhume(base::lmdb::WriteTxn& txn, const KeyDigest& key);
// What was taken has been made again. Once for each result, with the first of its keys that had a tombstone.
base::Status note_regret(base::lmdb::WriteTxn& txn, const Tombstone& tombstone);
base::Result<Regret> regret_of(const base::lmdb::ReadTxn& txn);

}  // namespace cairn::cache
