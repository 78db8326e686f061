// SPDX-License-Identifier: Apache-2.0
#include "libcache/account/totals.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/entries/entry_rows.h"
#include "libcache/explain/recipe_writer.h"
#include "libcache/gc/candidates.h"
#include "libcache/gc/prune.h"
#include "libcache/keys/key_rows.h"
#include "libcache/pages/page_rows.h"
#include "libcache/records/cache_mount_rows.h"
#include "libcache/records/layer_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/trees/seal_rows.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

Status erase_tree_digests(WriteTxn& txn, RecordId record) {
  std::vector<SelectionsDigest> remembered;
  TRY(scan_rows(txn, table::tree_digests, key_prefix(record), [&](const auto& key, const TreeDigestRow&) -> Result<Scan> {
    remembered.push_back(std::get<1>(key));
    return Scan::next;
  }));
  for (const SelectionsDigest& selections : remembered) TRY(txn.erase(table::tree_digests, {record, selections}));
  return {};
}

}  // namespace

Status erase_record(WriteTxn& txn, const snapshot::Snapshotter& snapshots, const RecordInfo& info,
                    Erasure& erasure) {
  std::vector<KeyDigest> mounts;
  if (info.facts.type == RecordType::exec_cache_mount) mounts = TRY(keys_leading_to(txn, info.id));
  TRY(erase_results_of(txn, info.id, erasure.dead_keys));
  TRY(drop_idle_names(txn, mounts));
  TRY(erase_tree_digests(txn, info.id));
  TRY(keep_tree_of(txn, info.id));
  TRY(release_pages_of(txn, info.id));
  TRY(erase_blobs_of(txn, info.id));
  TRY(erase_leases_of(txn, info.id));
  TRY(erase_layer_of(txn, info.id));
  TRY(erase_entry_of(txn, info.id));
  TRY(erase_seals_of(txn, info.id, info.snapshot));
  for (const RecordId parent : info.parents) TRY(txn.erase(table::children, {parent, info.id}));
  if (!info.facts.chain.is_zero()) TRY(txn.erase(table::chains, {info.facts.chain, info.id}));
  if (info.snapshot && info.snapshot.value() != info.id.value()) TRY(txn.erase(table::tree_owners, info.snapshot));
  TRY(erase_record_row(txn, info.id, erasure.totals));
  TRY(drop_candidate(txn, info.id));
  erasure.parents.insert(info.parents.begin(), info.parents.end());
  if (!info.snapshot) return {};  // it was lazy to its end
  return snapshots.retire(txn, info.snapshot);
}

Status finish_erasure(WriteTxn& txn, const Erasure& erasure) {
  TRY(change_totals(txn, erasure.totals));
  for (const RecordId parent : erasure.parents) TRY(admit_candidate(txn, parent));  // if it is still there
  return {};
}

}  // namespace cairn::cache
