// SPDX-License-Identifier: Apache-2.0
// The parts of check(): each compares two descriptions of the same facts in both directions and appends what differs.
#pragma once

#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libcache/cache.h"
#include "libcache/records/record_rows.h"

namespace cairn::cache {

struct CheckState {
  base::lmdb::Env& env;
  const base::HostPath& root;
  std::unordered_set<snapshot::SnapshotId> unpublished;  // of a live owner: their trees need no row
  std::unordered_map<RecordId, RecordRow> records;
  std::unordered_set<RecordId> damaged;  // known to be, and quarantined
  std::vector<Finding> findings;

  template <class... Args>
  void found(int invariant, fmt::format_string<Args...> format, Args&&... args) {
    findings.push_back({invariant, fmt::format(format, std::forward<Args>(args)...)});
  }
};

base::Result<std::vector<Finding>> check_store(base::lmdb::Env& env, const base::HostPath& root,
                                               const std::vector<snapshot::SnapshotId>& unpublished);

base::Status check_seals(CheckState& state);    // of trees, and what is quarantined for one; before check_trees()
base::Status check_trees(CheckState& state);    // records, snapshot rows, directories
base::Status check_records(CheckState& state);  // parents, children, chains, tree digests
base::Status check_keys(CheckState& state);     // results and links, each in both directions
base::Status check_blobs(CheckState& state);    // rows, files, and who names them
base::Status check_chunks(CheckState& state);   // lists of chunks, and who knows whom
base::Status check_pages(CheckState& state);    // of the Merkle tree: names, pointers, counts
base::Status check_totals(CheckState& state);   // sums, and the space of records
base::Status check_candidates(CheckState& state);  // for the collector: who may go
base::Status check_leases(CheckState& state);      // what they name, and when they end
base::Status check_layers(CheckState& state);      // diffs, what holds them, and trees that came later
base::Status check_entries(CheckState& state);     // what doors keep, and its value
base::Status check_names(CheckState& state);       // of trees that others mount, and those that are lent
base::Status check_statistics(CheckState& state);
base::Status check_history(CheckState& state);
base::Status check_ledger(CheckState& state);
base::Status check_recipes(CheckState& state);  // texts and their counts, the index
base::Status check_tmp(CheckState& state);

// How many rows Cache::repair_rows() would change.
base::Result<std::uint64_t> count_rows_to_repair(base::lmdb::Env& env, const base::HostPath& root);

struct Counters;
bool is_possible(const Counters& counters);  // what lookups can have counted

template <class Key, class Value>
base::Result<bool> has_row(const base::lmdb::ReadTxn& txn, const base::lmdb::TableSpec<Key, Value>& table, const Key& key) {
  const auto row = TRY(txn.get_raw(table, base::Codec<Key>::encode(key)));
  return row.has_value();
}

}  // namespace cairn::cache
