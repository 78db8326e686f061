// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/select.h"

#include <deque>
#include <unordered_map>
#include <unordered_set>

#include "libcache/blobs/blob_rows.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

struct Node {
  std::vector<RecordId> parents;
  std::uint32_t children = 0;
  bool keyed = false;
  bool leased = false;
};

struct Forest {
  std::unordered_map<RecordId, Node> nodes;
  std::vector<RecordId> ids;  // ascending

  void count_children();
};

void Forest::count_children() {
  for (const RecordId id : ids)
    for (const RecordId parent : nodes[id].parents)
      if (const auto found = nodes.find(parent); found != nodes.end()) ++found->second.children;
}

Result<Forest> load_forest(Store& store, Reach reach) {
  Forest forest;
  TRY(each_row(store.env, table::records, [&](ReadTxn&, const RecordId& id, const RecordRow& row) -> Status {
    forest.nodes[id].parents = row.parents;
    forest.ids.push_back(id);
    return {};
  }));
  forest.count_children();
  const base::WallTime now = store.clock.now();
  TRY(each_row(store.env, table::record_leases, [&](ReadTxn& txn, const auto& key, const Present&) -> Status {
    const auto found = forest.nodes.find(std::get<0>(key));
    if (found != forest.nodes.end() && !found->second.leased) found->second.leased = TRY(is_leased(txn, found->first, now));
    return {};
  }));
  if (reach == Reach::everything) return forest;
  TRY(each_row(store.env, table::record_keys, [&](ReadTxn&, const auto& key, const Present&) -> Status {
    if (const auto found = forest.nodes.find(std::get<0>(key)); found != forest.nodes.end()) found->second.keyed = true;
    return {};
  }));
  return forest;
}

}  // namespace

Result<std::vector<RecordId>> select_records(Store& store, Reach reach) {
  Forest forest = TRY(load_forest(store, reach));
  std::deque<RecordId> childless;
  for (const RecordId id : forest.ids)
    if (forest.nodes[id].children == 0) childless.push_back(id);
  std::vector<RecordId> selected;
  while (!childless.empty()) {
    const RecordId id = childless.front();
    childless.pop_front();
    const Node& node = forest.nodes[id];
    if (node.keyed || node.leased || store.holds.is_held(id)) continue;
    selected.push_back(id);
    for (const RecordId parent : node.parents) {
      const auto found = forest.nodes.find(parent);
      if (found != forest.nodes.end() && --found->second.children == 0) childless.push_back(parent);
    }
  }
  return selected;
}

Result<std::vector<BlobInfo>> select_blobs(Store& store, const std::vector<RecordId>& gone) {
  const std::unordered_set<RecordId> gone_set(gone.begin(), gone.end());
  std::vector<BlobInfo> selected;
  const base::WallTime now = store.clock.now();
  const auto visit = [&](ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) -> Status {
    bool stays = store.blobs.is_claimed(digest) || TRY(is_leased(txn, digest, now));
    TRY(scan_rows(txn, table::blob_records, digest.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
      stays = stays || !gone_set.contains(std::get<1>(key));
      return stays ? Scan::stop : Scan::next;
    }));
    if (!stays) selected.push_back({digest, row.size, row.allocated_bytes});
    return {};
  };
  TRY(each_row(store.env, table::blobs, visit));
  return selected;
}

}  // namespace cairn::cache
