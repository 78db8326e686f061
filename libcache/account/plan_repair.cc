// SPDX-License-Identifier: Apache-2.0
// What each step of a repair changes is remembered for the steps after it, which in the real one find it in the metadata.
#include <fcntl.h>

#include <algorithm>
#include <memory>
#include <unordered_set>
#include <vector>

#include "libbase/fs/host_tree.h"
#include "libcache/account/account.h"
#include "libcache/account/check.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/blobs/packs.h"
#include "libcache/blobs/repair.h"
#include "libcache/blobs/verified_source.h"
#include "libcache/records/scan.h"
#include "libcache/repair_plan.h"
#include "libcache/trees/repair_trees.h"
#include "libcache/trees/scrub_trees.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

class Planner {
 public:
  Planner(base::lmdb::Env& env, const base::HostPath& root, std::stop_token stop) : env_(env), root_(root), stop_(std::move(stop)) {}

  Result<RepairPlan> plan() {
    if (TRY(base::host_exists(root_ / "blobs/packs"))) packs_ = TRY(Packs::open(root_));
    plan_.rows = TRY(count_rows_to_repair(env_, root_));
    TRY(plan_blobs());
    TRY(plan_trees());
    TRY(plan_scrub());
    return plan_;
  }

 private:
  Status plan_blobs();
  Status plan_trees();
  Status plan_scrub();
  Result<std::string> look_at(const BlobDigest& digest, const BlobRow& row);
  Result<std::string> look_at_chunks(const BlobDigest& digest, const BlobRow& row);
  Status read_back(const BlobDigest& digest, const BlobRow& row);
  Result<std::uint64_t> mark(RecordId record);
  Status go_on() const { return stop_.stop_requested() ? base::fail(ErrorCode::cancelled, "plan a repair") : Status(); }

  base::lmdb::Env& env_;
  const base::HostPath& root_;
  std::stop_token stop_;
  std::shared_ptr<Packs> packs_;  // none: there is no pack
  RepairPlan plan_;
  std::vector<std::pair<BlobDigest, BlobRow>> blobs_;  // that stay
  std::unordered_set<RecordId> marked_;                // records that become misses for their trees
};

// The same that LocalBlobStore::verify() compares; what the chunks hold is their own affair.
Result<std::string> Planner::look_at_chunks(const BlobDigest& digest, const BlobRow& row) {
  return env_.view([&](ReadTxn& txn) -> Result<std::string> {
    const auto list = TRY(txn.get(table::blob_chunks, digest));
    if (!list || list->size() != row.size) return std::string("it has no list of its chunks");
    for (const Chunk& chunk : list->chunks) {
      const auto found = TRY(txn.get(table::blobs, chunk.digest));
      if (!found || found->size != chunk.size) return fmt::format("its chunk {} is missing, or another", chunk.digest);
    }
    return std::string();
  });
}

Result<std::string> Planner::look_at(const BlobDigest& digest, const BlobRow& row) {
  if (row.place == BlobPlace::file) return look_at_file(blob_path(root_, digest), row.size);
  if (row.place == BlobPlace::chunks) return look_at_chunks(digest, row);
  return packs_ ? look_at_entry(*packs_, digest, row) : std::string("there are no packs");
}

Status Planner::plan_blobs() {
  std::vector<std::pair<BlobDigest, BlobRow>> rows;
  TRY(each_row(env_, table::blobs, [&](ReadTxn&, const BlobDigest& digest, const BlobRow& row) -> Status {
    rows.emplace_back(digest, row);
    return {};
  }));
  std::unordered_set<BlobDigest> named;
  for (auto& [digest, row] : rows) {
    TRY(go_on());
    named.insert(digest);
    if (TRY(look_at(digest, row)).empty()) blobs_.emplace_back(digest, row);
    else ++plan_.blobs.missed;
  }
  return each_blob_file(root_, stop_, [&](const BlobDigest& digest, std::int64_t allocated_bytes) -> Status {
    if (named.contains(digest)) return {};  // of one that goes the file is kept apart
    ++plan_.blobs.stray_files;
    plan_.blobs.freed_bytes += allocated_bytes;
    return {};
  });
}

// The record and all that is built on it, as far as they are not yet; returns how many.
Result<std::uint64_t> Planner::mark(RecordId record) {
  std::vector<RecordId> left = {record};
  std::uint64_t count = 0;
  TRY(env_.view([&](ReadTxn& txn) -> Status {
    while (!left.empty()) {
      const RecordId next = left.back();
      left.pop_back();
      if (marked_.contains(next) || TRY(is_damaged(txn, next)) || !TRY(txn.get(table::records, next))) continue;
      marked_.insert(next);
      ++count;
      TRY(scan_rows(txn, table::children, key_prefix(next), [&](const auto& key, const Present&) -> Result<Scan> {
        left.push_back(std::get<1>(key));
        return Scan::next;
      }));
    }
    return {};
  }));
  return count;
}

Status Planner::plan_trees() {
  const auto listed = TRY(list_trees(root_));
  for (const auto& [record, snapshot] : TRY(find_missing_trees(env_, root_, listed))) {
    TRY(go_on());
    const std::uint64_t count = TRY(mark(record));
    plan_.trees.quarantined_records += count;
    plan_.trees.missing_trees += count > 0 ? 1 : 0;
  }
  for (const auto& [snapshot, usage] : TRY(find_stray_trees(env_, root_, listed))) {
    ++plan_.trees.stray_trees;
    plan_.trees.freed_bytes += usage.bytes;
  }
  return {};
}

Status Planner::read_back(const BlobDigest& digest, const BlobRow& row) {
  if (row.place == BlobPlace::chunks) return {};
  if (row.place == BlobPlace::pack) {
    const std::string bytes = TRY(packs_->read(row.at, EntryKind::blob, digest, row.size));
    if (base::digest_of<BlobDigest>(bytes) != digest) return base::fail(ErrorCode::corrupt, "its bytes are those of another");
    return {};
  }
  const base::Fd file = TRY(base::open_host(blob_path(root_, digest), O_RDONLY | O_NOFOLLOW));
  if (TRY(digest_file(file.get())) != digest) return base::fail(ErrorCode::corrupt, "its bytes are those of another");
  return {};
}

Status Planner::plan_scrub() {
  ScrubReport& report = plan_.scrubbed;
  for (const auto& [digest, row] : blobs_) {
    TRY(go_on());
    const Status sound = read_back(digest, row);
    const bool is_damaged = !sound && (sound.error().code == ErrorCode::corrupt || sound.error().code == ErrorCode::not_found);
    if (!sound && !is_damaged) return sound;
    ++report.blobs;
    if (is_damaged) ++report.damaged;
    else if (row.place != BlobPlace::chunks) report.bytes += row.size;
  }
  TreeComparison comparison(env_, root_, [&](std::uint64_t bytes) { report.tree_bytes += bytes; }, stop_);
  RecordId next;
  do {
    std::vector<ToScrub> trees = TRY(next_trees(env_, next));
    std::erase_if(trees, [&](const ToScrub& tree) { return marked_.contains(tree.record); });
    for (const ToScrub& tree : trees) {
      TRY(go_on());
      SealRow now;
      const std::string wrong = TRY(comparison.compare(tree, now));
      ++report.trees;
      if (!wrong.empty()) {
        ++report.damaged_trees;
        report.quarantined_records += TRY(mark(tree.record));
      } else if (!tree.sealed) {
        ++report.sealed;
      }
    }
  } while (next);
  report.reached_end = true;
  return {};
}

}  // namespace

Result<RepairPlan> plan_repair(base::lmdb::Env& env, const base::HostPath& root, std::stop_token stop) {
  return TRY(Planner(env, root, std::move(stop)).plan(), "plan a repair of {}", root.str());
}

}  // namespace cairn::cache
