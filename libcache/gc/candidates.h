// SPDX-License-Identifier: Apache-2.0
// What might go: the records that nothing is built on, in two orders, so that a collection looks at what it takes and
// not at the store. A hit touches none of these rows: a place says how much a record was worth when it was put there, and
// the collector, which finds out at the head of the line what it is worth now, puts it back further down.
//
// By cost a record stands at level + credit. Its credit is what it takes to make it again, times its uses, by the space
// that it frees. The level is where the last record stood that was taken in this order: so what is new or was used
// starts at the level of today, and what is never used is overtaken in time (GreedyDual-Size-Frequency).
#pragma once

#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

// A place in an order; the lowest goes first. What no key leads to is at 0 in the order by cost.
using Rank = base::Id<struct RankMeaning>;
using TypeNumber = base::Id<struct TypeNumberMeaning>;  // of a RecordType, plus one
using CandidateKey = std::tuple<TypeNumber, Rank, RecordId>;

TypeNumber number_of(RecordType type);

// Where a candidate stands in both orders.
struct PlacesRow {
  RecordType type = RecordType::regular;
  base::WallTime last_used{};  // as it was known then
  Rank by_cost;
  bool operator==(const PlacesRow&) const = default;
};
struct CollectorRow {
  Rank level;
};

enum class Keyed : std::uint8_t { no, yes };
// What a record adds to the level: nanoseconds to make it again, times uses, by KiB that it frees.
std::uint64_t credit_of(const RecordInfo& record, Keyed keyed);
// What the disk gets back when the record goes, as far as it is nobody else's too.
std::int64_t freed_by(const RecordInfo& record);
Rank place_by_cost(Rank level, std::uint64_t credit);
Rank place_by_age(base::WallTime last_used);
PlacesRow places_of(const RecordInfo& record, Rank level, Keyed keyed);

}  // namespace cairn::cache

template <>
struct cairn::base::Codec<cairn::cache::PlacesRow> {
  static std::string encode(const cache::PlacesRow& row);
  static Result<cache::PlacesRow> decode(std::string_view bytes);
};
template <>
struct cairn::base::Codec<cairn::cache::CollectorRow> {
  static std::string encode(const cache::CollectorRow& row);
  static Result<cache::CollectorRow> decode(std::string_view bytes);
};

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<CandidateKey, Present> candidates_by_age{
    {"cache.candidates_by_age", base::lmdb::Precious::rebuildable}};
inline constexpr base::lmdb::TableSpec<CandidateKey, Present> candidates_by_cost{
    {"cache.candidates_by_cost", base::lmdb::Precious::rebuildable}};
inline constexpr base::lmdb::TableSpec<RecordId, PlacesRow> candidate_places{
    {"cache.candidate_places", base::lmdb::Precious::rebuildable}};
// One row, "level". Without it the other three tables are not complete.
inline constexpr base::lmdb::TableSpec<std::string, CollectorRow> collector{
    {"cache.collector", base::lmdb::Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// Where it all stands; nullopt: this store is older than the tables, see rebuild_candidates().
base::Result<std::optional<Rank>> collector_level(const base::lmdb::ReadTxn& txn);
base::Status set_collector_level(base::lmdb::WriteTxn& txn, Rank level);

// Called in the transaction that changes the record or what is built on it. Nothing happens in a store whose tables are
// not complete.
// Before the first record of a store is written: from here on the tables are kept.
base::Status keep_candidates(base::lmdb::WriteTxn& txn);
// Of a record that is there: if nothing is built on it, it gets a place; anew, if it has one.
base::Status admit_candidate(base::lmdb::WriteTxn& txn, RecordId id);
base::Status drop_candidate(base::lmdb::WriteTxn& txn, RecordId id);  // something is built on it, or it goes
base::Status move_candidate(base::lmdb::WriteTxn& txn, RecordId id, const PlacesRow& to);  // if it is still one
// A key has come to lead to a record: what stood first for want of one is put anew.
base::Status note_key(base::lmdb::WriteTxn& txn, RecordId id);

// Makes the tables of a store that is older than they are. O(records); once in the life of a store.
base::Status rebuild_candidates(base::lmdb::WriteTxn& txn);

}  // namespace cairn::cache
