// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <span>

#include "libbase/fs/beneath.h"
#include "libcache/account/account.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"
#include "libsnapshot/stray.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;
using snapshot::SnapshotId;

namespace {

constexpr auto measure_age_max = std::chrono::seconds(1);

// What is gone counts nothing: files come and go while we look.
Result<std::int64_t> bytes_of(const HostPath& path) {
  struct ::stat stat {};
  if (::lstat(path.c_str(), &stat) == 0) return std::int64_t{stat.st_blocks} * 512;
  if (errno == ENOENT) return std::int64_t{0};
  return base::fail_errno(errno, "stat {}", path.str());
}

Result<std::int64_t> bytes_below(const HostPath& path) {
  const auto dir = base::open_host_dir(path);
  if (!dir && dir.error().code == ErrorCode::not_found) return std::int64_t{0};
  if (!dir) return tl::unexpected(dir.error());
  const auto size = base::measure_tree(dir->get());
  if (size) return size->bytes;
  if (size.error().code == ErrorCode::not_found) return std::int64_t{0};
  return tl::unexpected(size.error());
}

// The directories that hold blobs: at most 259.
Result<std::int64_t> bytes_of_blob_directories(const HostPath& root) {
  const HostPath shards = root / "blobs/sha256";
  std::int64_t bytes = TRY(bytes_of(root / "blobs"));
  const auto dir = base::open_host_dir(shards);
  if (!dir) return bytes;
  bytes += TRY(bytes_of(shards));
  const auto entries = TRY(base::list_dir(dir->get()));
  for (const base::DirEntry& entry : entries) bytes += TRY(bytes_of(shards / entry.name));
  bytes += TRY(bytes_of(root / "blobs/packs"));
  return bytes;
}

// Everything under the root that no row speaks of, but for active trees.
Status measure_files(const HostPath& root, UnrowedMeasure& measure) {
  measure.temp_bytes = TRY(bytes_below(root / "tmp"));
  measure.reserve_bytes = TRY(bytes_of(root / "reserve"));
  std::int64_t bytes = TRY(bytes_of(root));
  bytes += TRY(bytes_of(root / "trees"));
  bytes += TRY(bytes_of(root / "meta"));
  bytes += TRY(bytes_of_blob_directories(root));
  const Fd dir = TRY(base::open_host_dir(root));
  const auto entries = TRY(base::list_dir(dir.get()));
  constexpr std::array<std::string_view, 5> lines_of_their_own = {"trees", "meta", "blobs", "tmp", "reserve"};
  for (const base::DirEntry& entry : entries) {
    if (std::find(lines_of_their_own.begin(), lines_of_their_own.end(), entry.name) != lines_of_their_own.end()) continue;
    const HostPath path = root / entry.name;
    bytes += entry.type == DT_DIR ? TRY(bytes_below(path)) : TRY(bytes_of(path));
  }
  measure.other_bytes = bytes;
  return {};
}

// Bytes of trees that no row accounts for; one that goes meanwhile counts nothing.
Status measure_trees(const HostPath& root, std::span<const SnapshotId> ids, UnrowedMeasure& measure) {
  measure.trees.clear();
  for (const SnapshotId id : ids)
    measure.trees.emplace_back(id, TRY(bytes_below(tree_path(root, id)), "measure tree {}", id));
  return {};
}

Status add_rows(ReadTxn& txn, DiskUsage& usage) {
  const snapshot::TreeTotals trees = TRY(snapshot::tree_totals(txn));
  const BlobTotals blobs = TRY(blob_totals(txn));
  usage.tree_bytes = trees.committed.bytes + trees.shared.bytes;
  usage.trash_bytes = trees.trash.bytes;
  usage.blob_bytes = blobs.file_bytes;
  usage.pack_bytes = blobs.pack_bytes;
  usage.pack_reclaimable_bytes = blobs.pack_reclaimable_bytes;
  usage.records = TRY(txn.count(table::records));
  usage.blobs = TRY(txn.count(table::blobs));
  return {};
}

// Of what was measured, those that have no row in the version whose rows are added up: each tree is counted once.
Status add_trees(ReadTxn& txn, const UnrowedMeasure& measure, DiskUsage& usage) {
  if (measure.trees.empty()) return {};
  const std::vector<SnapshotId> unsettled = TRY(snapshot::unsettled_ids(txn));
  for (const auto& [id, bytes] : measure.trees)
    if (std::find(unsettled.begin(), unsettled.end(), id) != unsettled.end()) usage.active_bytes += bytes;
  return {};
}

// measure: taken before.
Result<DiskUsage> usage_of(Env& env, const UnrowedMeasure& measure) {
  DiskUsage usage;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    usage = {};
    TRY(add_rows(txn, usage));
    return add_trees(txn, measure, usage);
  }));
  const auto tail = static_cast<std::int64_t>(env.tail_bytes());
  usage.metadata_bytes = static_cast<std::int64_t>(env.allocated_bytes()) - tail;
  usage.temp_bytes = measure.temp_bytes;
  usage.reserve_bytes = measure.reserve_bytes + tail;
  usage.other_bytes = measure.other_bytes;
  usage.total_bytes = usage.tree_bytes + usage.active_bytes + usage.trash_bytes + usage.blob_bytes + usage.pack_bytes +
                      usage.metadata_bytes + usage.temp_bytes + usage.reserve_bytes + usage.other_bytes;
  return usage;
}

}  // namespace

HostPath tree_path(const HostPath& root, snapshot::SnapshotId id) {
  return root / ("trees/" + std::to_string(id.value()));
}

Result<std::vector<snapshot::SnapshotId>> list_trees(const HostPath& root) {
  std::vector<snapshot::SnapshotId> ids;
  const auto dir = base::open_host_dir(root / "trees");
  if (!dir && dir.error().code == ErrorCode::not_found) return ids;
  if (!dir) return tl::unexpected(dir.error());
  const auto entries = TRY(base::list_dir(dir->get()));
  for (const base::DirEntry& entry : entries) {
    if (const auto id = snapshot::parse_tree_name(entry.name)) ids.push_back(*id);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<DiskUsage> disk_usage(Env& env, const HostPath& root) {
  UnrowedMeasure measure;
  const auto unsettled = TRY(env.view([](ReadTxn& txn) { return snapshot::unsettled_ids(txn); }));
  TRY(measure_trees(root, unsettled, measure), "disk usage of {}", root.str());
  TRY(measure_files(root, measure), "disk usage of {}", root.str());
  return TRY(usage_of(env, measure), "disk usage of {}", root.str());
}

Result<DiskUsage> owner_disk_usage(Store& store) {
  const auto now = store.clock.steady_now();
  UnrowedMeasure measure = *store.unrowed_measure.lock();
  if (!measure.known || now - measure.when >= measure_age_max) {
    TRY(measure_trees(store.root, store.snapshots.unpublished(), measure));
    TRY(measure_files(store.root, measure), "disk usage of {}", store.root.str());
    measure.when = now;
    measure.known = true;
    *store.unrowed_measure.lock() = measure;
  }
  return TRY(usage_of(store.env, measure), "disk usage of {}", store.root.str());
}

Result<std::int64_t> live_bytes(Env& env) {
  DiskUsage usage;
  TRY(env.view([&](ReadTxn& txn) { return add_rows(txn, usage); }), "live bytes");
  usage.metadata_bytes = static_cast<std::int64_t>(env.allocated_bytes() - env.tail_bytes());
  return usage.live_bytes();
}

Status each_record(Env& env, const HostPath& root, const std::function<Status(const RecordInfo&)>& visit) {
  const auto visit_row = [&](ReadTxn&, const RecordId& id, const RecordRow& row) { return visit(to_info(id, row)); };
  return each_row(env, table::records, visit_row)
      .map_error([&](base::Error error) { return base::add_context(std::move(error), "records of " + root.str()); });
}

}  // namespace cairn::cache
