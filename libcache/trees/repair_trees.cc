// SPDX-License-Identifier: Apache-2.0
#include "libcache/trees/repair_trees.h"

#include <algorithm>
#include <unordered_set>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "libcache/account/account.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libcache/trees/scrub_trees.h"
#include "libsnapshot/stray.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::WriteTxn;
using snapshot::SnapshotId;

namespace {

constexpr std::size_t strays_per_change = 256;

// What erasing it frees: inodes that have no name elsewhere.
Result<snapshot::Usage> measure(const base::Fd& directory) {
  snapshot::Usage usage;
  const auto visit = [&](const base::TreeEntry& entry) -> Status {
    if (!S_ISDIR(entry.stat.st_mode) && entry.stat.st_nlink > 1) return {};
    usage.bytes += std::int64_t{entry.stat.st_blocks} * 512;
    ++usage.inodes;
    if (S_ISREG(entry.stat.st_mode)) usage.logical_bytes += entry.stat.st_size;
    return {};
  };
  TRY(base::measure_tree(directory.get(), visit));
  return usage;
}

// What is made has an id that was reserved before, until its row is durable or its directory gone. So what was listed
// before, and has neither a row nor such an id after, is nobody's. (What a dead owner had reserved is looked at by open.)
Result<std::vector<SnapshotId>> unnamed(base::lmdb::Env& env, const std::vector<SnapshotId>& listed) {
  std::unordered_set<SnapshotId> named;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    named.clear();
    for (const SnapshotId id : TRY(snapshot::unsettled_ids(txn))) named.insert(id);
    TRY(snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> Result<base::lmdb::Scan> {
      named.insert(info.id);
      return base::lmdb::Scan::next;
    }));
    return snapshot::each_trash(txn, [&](SnapshotId id, snapshot::Usage) -> Result<base::lmdb::Scan> {
      named.insert(id);
      return base::lmdb::Scan::next;
    });
  }));
  std::vector<SnapshotId> strays;
  std::copy_if(listed.begin(), listed.end(), std::back_inserter(strays), [&](SnapshotId id) { return !named.contains(id); });
  return strays;
}

}  // namespace

Result<MissingTrees> find_missing_trees(base::lmdb::Env& env, const base::HostPath& root, const std::vector<SnapshotId>& listed) {
  const std::unordered_set<SnapshotId> there(listed.begin(), listed.end());
  MissingTrees missing;
  TRY(each_row(env, table::records, [&](ReadTxn& txn, const RecordId& id, const RecordRow& row) -> Status {
    if (!row.snapshot || there.contains(row.snapshot) || TRY(is_damaged(txn, id))) return {};
    missing.emplace_back(id, row.snapshot);
    return {};
  }));
  // One may have been made since.
  MissingTrees still;
  for (const auto& each : missing)
    if (!TRY(base::host_exists(tree_path(root, each.second)))) still.push_back(each);
  return still;
}

Result<StrayTrees> find_stray_trees(base::lmdb::Env& env, const base::HostPath& root, const std::vector<SnapshotId>& listed) {
  StrayTrees strays;
  for (const SnapshotId id : TRY(unnamed(env, listed))) {
    const auto directory = base::open_host_dir(tree_path(root, id));
    if (!directory) continue;  // gone meanwhile, or no directory: not ours
    strays.emplace_back(id, TRY(measure(*directory), "trees/{}", id));
  }
  return strays;
}

namespace {

Status quarantine_missing(Store& store, const std::vector<SnapshotId>& listed, std::stop_token stop, TreeRepair& done) {
  for (const auto& [id, snapshot] : TRY(find_missing_trees(store.env, store.root, listed))) {
    if (stop.stop_requested()) return {};
    // Rows go before files (I1): if it has been retired meanwhile, the quarantine finds no record.
    const std::uint64_t count = TRY(quarantine_record(store, id, "its directory is missing"));
    done.quarantined_records += count;
    done.missing_trees += count > 0 ? 1 : 0;
  }
  return {};
}

Status discard_strays(Store& store, const std::vector<SnapshotId>& listed, std::stop_token stop, TreeRepair& done) {
  const StrayTrees strays = TRY(find_stray_trees(store.env, store.root, listed));
  for (std::size_t from = 0; from < strays.size() && !stop.stop_requested(); from += strays_per_change) {
    const auto begin = strays.begin() + static_cast<std::ptrdiff_t>(from);
    const std::vector piece(begin, begin + static_cast<std::ptrdiff_t>(std::min(strays.size() - from, strays_per_change)));
    base::lmdb::GroupWriter::Entry entry;
    entry.change = [piece](WriteTxn& txn) -> Status {
      for (const auto& [id, usage] : piece) TRY(snapshot::discard_stray(txn, id, usage));
      CRASH_POINT("cache.repair_trees.strays_discarded");
      return {};
    };
    TRY(store.writer.wait_durable(TRY(enqueue(store, std::move(entry)))));
    for (const auto& [id, usage] : piece) done.freed_bytes += usage.bytes;
    done.stray_trees += piece.size();
  }
  if (done.stray_trees > 0) TRY(store.snapshots.erase_trash(store.writer, stop));
  return {};
}

}  // namespace

Result<TreeRepair> repair_trees(Store& store, std::stop_token stop) {
  TreeRepair done;
  const std::vector<SnapshotId> listed = TRY(list_trees(store.root), "repair trees");
  TRY(quarantine_missing(store, listed, stop, done), "repair trees");
  TRY(discard_strays(store, listed, stop, done), "repair trees");
  return done;
}

}  // namespace cairn::cache
