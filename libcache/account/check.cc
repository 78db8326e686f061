// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/check.h"

#include <algorithm>

#include "libbase/fs/beneath.h"
#include "libcache/account/account.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"
#include "libsnapshot/lent.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;
using snapshot::SnapshotId;

namespace {

// Rows that do not decode end the pass over their table: it becomes a finding, and the other passes go on.
Status run_pass(CheckState& state, Status (*pass)(CheckState&)) {
  const Status passed = pass(state);
  if (passed || passed.error().code != ErrorCode::corrupt) return passed;
  state.found(2, "{}", passed.error().message);
  return {};
}

bool names_parent(const RecordRow& row, RecordId parent) {
  return std::find(row.parents.begin(), row.parents.end(), parent) != row.parents.end();
}

Status load_records(CheckState& state) {
  return each_row(state.env, table::records, [&](ReadTxn&, const RecordId& id, const RecordRow& row) -> Status {
    state.records.emplace(id, row);
    return {};
  });
}

}  // namespace

Status check_trees(CheckState& state) {
  std::unordered_set<SnapshotId> rows, trash, used, unsettled, missed, lent;
  for (const SnapshotId id : TRY(state.env.view([](ReadTxn& txn) { return snapshot::lent_trees(txn); }))) lent.insert(id);
  TRY(state.env.view([&](ReadTxn& txn) {
    return snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> Result<Scan> {
      rows.insert(info.id);
      return Scan::next;
    });
  }));
  TRY(state.env.view([&](ReadTxn& txn) {
    return snapshot::each_trash(txn, [&](SnapshotId id, snapshot::Usage) -> Result<Scan> {
      trash.insert(id);
      return Scan::next;
    });
  }));
  const std::vector<SnapshotId> listed = TRY(list_trees(state.root));
  const std::unordered_set<SnapshotId> directories(listed.begin(), listed.end());
  for (const auto& [id, row] : state.records) {
    if (!row.snapshot) continue;  // lazy
    used.insert(row.snapshot);
    if (state.damaged.contains(id)) missed.insert(row.snapshot);
    if (!rows.contains(row.snapshot)) state.found(1, "record {}: its snapshot {} has no row", id, row.snapshot);
  }
  for (const SnapshotId id : rows) {
    if (!used.contains(id)) state.found(1, "snapshot {}: no record has it", id);
    if (!directories.contains(id) && !missed.contains(id)) state.found(1, "snapshot {}: trees/{} is missing", id, id);
    if (trash.contains(id)) state.found(1, "snapshot {}: it is in the trash, too", id);
  }
  // What an owner works on has one of the ids that it has reserved. Others are nobody's.
  for (const SnapshotId id : TRY(state.env.view([](ReadTxn& txn) { return snapshot::unsettled_ids(txn); }))) unsettled.insert(id);
  for (const SnapshotId id : listed)
    if (!rows.contains(id) && !trash.contains(id) && !lent.contains(id) && !state.unpublished.contains(id))
      state.found(unsettled.contains(id) ? 6 : 9, "trees/{}: no row names it", id);
  return {};
}

Status check_records(CheckState& state) {
  std::unordered_set<std::string> children;
  TRY(each_row(state.env, table::children, [&](ReadTxn&, const std::tuple<RecordId, RecordId>& key, const Present&) {
    const auto& [parent, child] = key;
    children.insert(key_prefix(parent, child));
    const auto row = state.records.find(child);
    if (row == state.records.end() || !names_parent(row->second, parent))
      state.found(3, "child row ({}, {}): record {} does not have this parent", parent, child, child);
    return Status();
  }));
  std::unordered_set<std::string> chains;
  TRY(each_row(state.env, table::chains, [&](ReadTxn&, const std::tuple<ChainId, RecordId>& key, const Present&) {
    const auto& [chain, id] = key;
    chains.insert(key_prefix(chain, id));
    const auto row = state.records.find(id);
    if (row == state.records.end() || row->second.facts.chain != chain)
      state.found(5, "chain {}: it leads to record {}, which does not hold it", chain, id);
    return Status();
  }));
  for (const auto& [id, row] : state.records) {
    for (const RecordId parent : row.parents) {
      if (!state.records.contains(parent)) state.found(3, "record {}: its parent {} does not exist", id, parent);
      if (!children.contains(key_prefix(parent, id)))
        state.found(3, "record {}: its parent {} does not know it", id, parent);
    }
    if (!row.facts.chain.is_zero() && !chains.contains(key_prefix(row.facts.chain, id)))
      state.found(5, "record {}: its chain {} does not lead to it", id, row.facts.chain);
  }
  return each_row(state.env, table::tree_digests, [&](ReadTxn&, const auto& key, const TreeDigestRow&) {
    if (!state.records.contains(std::get<0>(key)))
      state.found(5, "tree digest of record {}, which does not exist", std::get<0>(key));
    return Status();
  });
}

Status check_tmp(CheckState& state) {
  const auto dir = base::open_host_dir(state.root / "tmp");
  if (!dir && dir.error().code == ErrorCode::not_found) return {};
  if (!dir) return tl::unexpected(dir.error());
  const auto entries = TRY(base::list_dir(dir->get()));
  for (const base::DirEntry& entry : entries) state.found(6, "tmp/{}: left behind", entry.name);
  return {};
}

Result<std::vector<Finding>> check(base::lmdb::Env& env, const base::HostPath& root) {
  return check_store(env, root, {});
}

Result<std::vector<Finding>> check_store(base::lmdb::Env& env, const base::HostPath& root,
                                         const std::vector<SnapshotId>& unpublished) {
  CheckState state{env, root, {unpublished.begin(), unpublished.end()}, {}, {}, {}};
  for (const auto pass : {load_records, check_seals, check_trees, check_records, check_keys, check_blobs, check_chunks, check_pages, check_totals,
                          check_candidates, check_leases, check_layers, check_entries, check_names, check_statistics, check_history, check_ledger, check_recipes, check_tmp})
    TRY(run_pass(state, pass), "check {}", root.str());
  return std::move(state.findings);
}

}  // namespace cairn::cache
