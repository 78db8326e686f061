// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/check.h"
#include "libcache/gc/candidates.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

// The record of each row of a line stands there by its own places.
Status check_line(CheckState& state, const base::lmdb::TableSpec<CandidateKey, Present>& line, bool by_age) {
  std::uint64_t rows = 0;
  TRY(each_row(state.env, line, [&](ReadTxn& txn, const CandidateKey& key, const Present&) -> Status {
    ++rows;
    const RecordId id = std::get<2>(key);
    const auto places = TRY(txn.get(table::candidate_places, id));
    const bool same = places && std::get<0>(key) == number_of(places->type) &&
                      std::get<1>(key) == (by_age ? place_by_age(places->last_used) : places->by_cost);
    if (!same) state.found(5, "{}: record {} does not stand there", line.name, id);
    return {};
  }));
  const auto expected = TRY(state.env.view([](ReadTxn& txn) { return txn.count(table::candidate_places); }));
  if (rows != expected) state.found(5, "{}: {} rows for {} candidates", line.name, rows, expected);
  return {};
}

}  // namespace

Status check_candidates(CheckState& state) {
  const bool kept = TRY(state.env.view([](ReadTxn& txn) { return has_candidates(txn); }));
  if (!kept) return {};  // older than the tables
  std::unordered_set<RecordId> candidates;
  TRY(each_row(state.env, table::candidate_places, [&](ReadTxn& txn, const RecordId& id, const PlacesRow&) -> Status {
    candidates.insert(id);
    const bool has_child = TRY(has_rows(txn, table::children, key_prefix(id)));
    if (has_child || !state.records.contains(id)) state.found(5, "record {}: it is no candidate for collection", id);
    return {};
  }));
  TRY(each_row(state.env, table::records, [&](ReadTxn& txn, const RecordId& id, const RecordRow&) -> Status {
    const bool has_child = TRY(has_rows(txn, table::children, key_prefix(id)));
    if (!has_child && !candidates.contains(id)) state.found(5, "record {}: no collection would find it", id);
    return {};
  }));
  TRY(check_line(state, table::candidates_by_age, true));
  return check_line(state, table::candidates_by_cost, false);
}

}  // namespace cairn::cache
