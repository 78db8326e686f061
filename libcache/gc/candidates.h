// SPDX-License-Identifier: Apache-2.0
// What might go: the records that nothing is built on, in two orders, so that a collection looks at what it takes and
// not at the store. A hit touches none of these rows: a place says how much a record was worth when it was put there,
// and the collector, which finds out at the head of the line what it is worth now, puts it back further down.
//
// By cost the first to go is what has lain idle the longest for its worth. Worth is what it takes to make a record
// again, times its uses, by the space that it frees, in classes that are four times apart; each class may lie idle 1.15
// times as long as the one below it. Within a class the order is by age and never changes, so a class is a line, and a
// selection compares the heads of some twenty. A record lies idle since it was used, or since something was that was
// made of it: a step that hits asks nothing of its inputs, but they are what the next change of it needs (decision 27).
#pragma once

#include <tuple>

#include "libbase/lmdb/env.h"
#include "libcache/record.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache {

// A place in an order; the lowest goes first, by cost the lowest of a class. What no key leads to is at 0 there.
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
// Which orders the places are of. A store of an older one gets them anew.
struct CollectorRow {
  std::uint64_t orders = 0;
};

enum class Keyed : std::uint8_t { no, yes };
// Of nanoseconds to make it again, times uses, by KiB that it frees. 0: no key leads to it.
using WorthClass = std::uint8_t;
WorthClass worth_of(const RecordInfo& record, Keyed keyed);
// What the disk gets back when the record goes, as far as it is nobody else's too.
std::int64_t freed_by(const RecordInfo& record);
Rank place_by_age(base::WallTime last_used);
// The class above the time, which is kept to 256 ns.
Rank place_by_cost(WorthClass worth, base::WallTime idle_since);
WorthClass worth_at(Rank by_cost);
base::WallTime idle_since(Rank by_cost);
Rank first_of(unsigned worth);  // no place of the class is before it; of 256: none of any class is behind it
// When a place by cost has its turn among those of other classes: the lowest goes first. 0: nothing goes before it.
std::uint64_t turn_by_cost(Rank by_cost, base::WallTime now);
PlacesRow places_of(const RecordInfo& record, Keyed keyed);

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
// One row, "orders". Without it, or if it is of other orders, the other three tables are not complete.
inline constexpr base::lmdb::TableSpec<std::string, CollectorRow> collector{
    {"cache.collector", base::lmdb::Precious::rebuildable}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// false: this store is older than the tables, see rebuild_candidates().
base::Result<bool> has_candidates(const base::lmdb::ReadTxn& txn);

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
