// SPDX-License-Identifier: Apache-2.0
// What follows from other rows, made anew where it differs. Of two rows that should say the same, one is enough if what
// it names exists: a claim too many costs space, one too few costs data. All of it is one change of the writer.
#include <map>
#include <set>

#include "libbase/crash_point.h"
#include "libcache/account/check.h"
#include "libcache/account/tally.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/names/tree_name_rows.h"
#include "libcache/explain/repair_recipes.h"
#include "libcache/keys/operations.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using base::lmdb::TableSpec;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

// Counts the rows that it writes or erases, or, without a transaction that writes, would.
class Repair {
 public:
  Repair(const ReadTxn& from, WriteTxn* to) : txn_(from), to_(to) {}

  template <class Key, class Value>
  Status put(const TableSpec<Key, Value>& table, const Key& key, const Value& value) {
    ++changed;
    return to_ == nullptr ? Status() : to_->put(table, key, value);
  }
  template <class Key, class Value>
  Status erase(const TableSpec<Key, Value>& table, const Key& key) {
    ++changed;
    return to_ == nullptr ? Status() : to_->erase(table, key);
  }
  // The table holds exactly these rows afterwards.
  template <class Key, class Value>
  Status set_all(const TableSpec<Key, Value>& table, const std::map<Key, Value>& rows) {
    std::set<Key> there, doomed;
    TRY(scan_rows(txn_, table, {}, [&](const Key& key, const Value& value) -> Result<Scan> {
      const auto wanted = rows.find(key);
      const bool same =
          wanted != rows.end() && base::Codec<Value>::encode(wanted->second) == base::Codec<Value>::encode(value);
      if (same)
        there.insert(key);
      else if (wanted == rows.end())
        doomed.insert(key);
      return Scan::next;
    }));
    for (const Key& key : doomed) TRY(erase(table, key));
    for (const auto& [key, value] : rows)
      if (!there.contains(key)) TRY(put(table, key, value));
    return {};
  }
  template <class Key, class Value>
  Result<std::map<Key, Value>> all(const TableSpec<Key, Value>& table) const {
    std::map<Key, Value> rows;
    TRY(scan_rows(txn_, table, {}, [&](const Key& key, const Value& value) -> Result<Scan> {
      rows.emplace_hint(rows.end(), key, value);
      return Scan::next;
    }));
    return rows;
  }
  const ReadTxn& txn() const { return txn_; }

  std::uint64_t changed = 0;

 private:
  const ReadTxn& txn_;
  WriteTxn* to_;
};

using RecordMap = std::map<RecordId, RecordRow>;
using LeaseRows = std::map<LeaseId, LeaseRow>;

template <class Thing, class Exists>
Status repair_named(Repair& repair, const LeaseRows& leases,
                    const TableSpec<std::tuple<LeaseId, Thing>, Present>& by_lease,
                    const TableSpec<std::tuple<Thing, LeaseId>, Present>& by_thing, Exists exists) {
  std::set<std::tuple<LeaseId, Thing>> named;
  for (const auto& [key, row] : TRY(repair.all(by_lease))) named.insert(key);
  for (const auto& [key, row] : TRY(repair.all(by_thing))) named.emplace(std::get<1>(key), std::get<0>(key));
  std::map<std::tuple<LeaseId, Thing>, Present> of_leases;
  std::map<std::tuple<Thing, LeaseId>, Present> of_things;
  for (const auto& [lease, thing] : named) {
    const bool there = leases.contains(lease) && TRY(exists(thing));
    if (!there) continue;
    of_leases[{lease, thing}];
    of_things[{thing, lease}];
  }
  TRY(repair.set_all(by_lease, of_leases));
  return repair.set_all(by_thing, of_things);
}

Status repair_leases(Repair& repair, const RecordMap& records) {
  const LeaseRows leases = TRY(repair.all(table::leases));
  std::map<std::tuple<LeaseEnd, LeaseId>, Present> ends;
  for (const auto& [id, row] : leases)
    if (row.expires) ends[{LeaseEnd{base::to_unix_ns(*row.expires)}, id}];
  TRY(repair.set_all(table::lease_ends, ends));
  TRY(repair_named(repair, leases, table::lease_records, table::record_leases,
                   [&](RecordId id) -> Result<bool> { return records.contains(id); }));
  return repair_named(repair, leases, table::lease_blobs, table::blob_leases,
                      [&](const BlobDigest& blob) { return has_row(repair.txn(), table::blobs, blob); });
}

Status repair_layers(Repair& repair, const RecordMap& records) {
  std::map<RecordId, LayerRow> layers = TRY(repair.all(table::layers));
  for (const auto& [key, row] : TRY(repair.all(table::diff_records)))
    layers.try_emplace(std::get<1>(key), LayerRow{std::get<0>(key)});
  std::erase_if(layers, [&](const auto& row) { return !records.contains(row.first); });
  std::map<std::tuple<DiffId, RecordId>, Present> diffs;
  std::set<DiffId> used;
  for (const auto& [id, row] : layers) {
    diffs[{row.diff, id}];
    used.insert(row.diff);
  }
  TRY(repair.set_all(table::layers, layers));
  TRY(repair.set_all(table::diff_records, diffs));
  auto blobs = TRY(repair.all(table::diff_blobs));
  std::erase_if(blobs, [&](const auto& row) { return !used.contains(std::get<0>(row.first)); });
  TRY(repair.set_all(table::diff_blobs, blobs));
  std::map<SnapshotId, TreeOwnerRow> owners;
  for (const auto& [id, row] : records)
    if (row.snapshot && row.snapshot.value() != id.value()) owners[row.snapshot] = {id};
  return repair.set_all(table::tree_owners, owners);
}

Status repair_entries(Repair& repair, const RecordMap& records) {
  auto entries = TRY(repair.all(table::entries));
  std::erase_if(entries, [&](const auto& row) { return !records.contains(row.first); });
  return repair.set_all(table::entries, entries);
}

// A name whose record is gone goes. What an active one has is known when it is taken up (TreeNames::open).
Status repair_names(Repair& repair, const RecordMap& records) {
  auto names = TRY(repair.all(table::tree_names));
  std::erase_if(names, [&](const auto& row) { return row.second.record() && !records.contains(row.second.record()); });
  return repair.set_all(table::tree_names, names);
}

Status repair_statistics(Repair& repair) {
  std::map<std::string, Counters> wrong;
  TRY(scan_rows(repair.txn(), table::statistics, {}, [&](const ProjectKey& key, const Counters& row) -> Result<Scan> {
    if (!is_possible(row)) wrong[key.project] = row;
    return Scan::next;
  }));
  for (auto& [project, row] : wrong) {  // the lookups are what is known best
    row.bytes_saved = row.hits > 0 ? std::max<std::int64_t>(row.bytes_saved, 0) : 0;
    row.time_saved = row.hits > 0 ? std::max(row.time_saved, std::chrono::nanoseconds(0)) : std::chrono::nanoseconds(0);
    TRY(repair.put(table::statistics, ProjectKey{project}, row));
  }
  return {};
}

Status repair_sums(Repair& repair, const TotalMap& rows, const TotalMap& stored) {
  for (const auto& [key, row] : stored)
    if (!rows.contains(key) && row != Totals{}) TRY(repair.erase(table::totals, key));
  for (const auto& [key, row] : rows) {
    const auto old = stored.find(key);
    if (row != (old == stored.end() ? Totals{} : old->second)) TRY(repair.put(table::totals, key, row));
  }
  return {};
}

Status repair_operations(Repair& repair, const OperationMap& counts) {
  std::map<std::tuple<OperationDigest, OutputNumber>, OperationRow> rows;
  for (const auto& [key, links] : counts) rows[key] = {links};
  return repair.set_all(table::operations, rows);
}

// Only if they are wrong: what the index has of recipes that are gone is right, and costs nothing.
Status repair_recipes(Repair& repair, bool wrong) {
  if (!wrong) return {};
  const RecipeTables tables = TRY(consistent_recipes(repair.txn()));
  TRY(repair.set_all(table::recipes, tables.recipes));
  TRY(repair.set_all(table::recipe_texts, tables.texts));
  return repair.set_all(table::recipe_index, tables.index);
}

// What other rows add up to, found before the transaction that compares.
struct Expected {
  TotalMap rows, stored;
  OperationMap operations;
  bool recipes_are_wrong = false;
};
Result<Expected> add_up_all(base::lmdb::Env& env, const base::HostPath& root) {
  Expected expected{TRY(add_up(env)), TRY(stored_totals(env)), TRY(count_operations(env)), false};
  CheckState recipes{env, root, {}, {}, {}, {}};
  TRY(check_recipes(recipes));
  expected.recipes_are_wrong = !recipes.findings.empty();
  return expected;
}

Status repair_all(Repair& repair, const Expected& expected) {
  const RecordMap records = TRY(repair.all(table::records));
  TRY(repair_leases(repair, records));
  TRY(repair_layers(repair, records));
  TRY(repair_entries(repair, records));
  TRY(repair_names(repair, records));
  TRY(repair_statistics(repair));
  TRY(repair_sums(repair, expected.rows, expected.stored));
  TRY(repair_operations(repair, expected.operations));
  return repair_recipes(repair, expected.recipes_are_wrong);
}

}  // namespace

Result<std::uint64_t> Cache::repair_rows() {
  Store& store = *state_;
  TRY(await_outcomes(store), "repair rows");
  const auto changed = std::make_shared<std::uint64_t>(0);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [changed, expected = TRY(add_up_all(store.env, store.root), "repair rows")](WriteTxn& txn) -> Status {
    Repair repair(txn, &txn);
    TRY(repair_all(repair, expected));
    CRASH_POINT("cache.repair.rows_written");
    *changed = repair.changed;
    return {};
  };
  TRY(store.writer.wait_durable(TRY(enqueue(store, std::move(entry)))), "repair rows");
  return *changed;
}

Result<std::uint64_t> count_rows_to_repair(base::lmdb::Env& env, const base::HostPath& root) {
  const Expected expected = TRY(add_up_all(env, root), "look at rows");
  std::uint64_t changed = 0;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    Repair repair(txn, nullptr);
    TRY(repair_all(repair, expected));
    changed = repair.changed;
    return {};
  }), "look at rows");
  return changed;
}

}  // namespace cairn::cache
