// SPDX-License-Identifier: Apache-2.0
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <unordered_set>

#include "libbase/fs/beneath.h"
#include "libcache/account/account.h"
#include "libcache/blobs/pack_totals.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::Fd;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::Env;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

constexpr auto active_measure_age_max = std::chrono::seconds(1);

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

Result<std::int64_t> bytes_of_the_rest(const HostPath& root) {
  std::int64_t bytes = TRY(bytes_of(root));
  bytes += TRY(bytes_of(root / "trees"));
  bytes += TRY(bytes_of(root / "meta"));
  bytes += TRY(bytes_of_blob_directories(root));
  const Fd dir = TRY(base::open_host_dir(root));
  const auto entries = TRY(base::list_dir(dir.get()));
  for (const base::DirEntry& entry : entries) {
    if (entry.name == "trees" || entry.name == "meta" || entry.name == "blobs") continue;
    const HostPath path = root / entry.name;
    bytes += entry.type == DT_DIR ? TRY(bytes_below(path)) : TRY(bytes_of(path));
  }
  return bytes;
}

Status add_rows(Env& env, DiskUsage& usage) {
  TRY(env.view([&](ReadTxn& txn) -> Status {
    usage.tree_bytes += TRY(snapshot::shared_usage(txn)).bytes;
    return snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> Result<Scan> {
      usage.tree_bytes += info.exclusive.bytes;
      return Scan::next;
    });
  }));
  TRY(env.view([&](ReadTxn& txn) {
    return snapshot::each_trash(txn, [&](snapshot::SnapshotId, snapshot::Usage trash) -> Result<Scan> {
      usage.trash_bytes += trash.bytes;
      return Scan::next;
    });
  }));
  const BlobTotals blobs = TRY(env.view([](ReadTxn& txn) { return blob_totals(txn); }));
  usage.blob_bytes += blobs.file_bytes + blobs.pack_bytes;
  usage.records = TRY(env.view([](ReadTxn& txn) { return txn.count(table::records); }));
  return {};
}

void sum_up(DiskUsage& usage) {
  usage.total_bytes = usage.tree_bytes + usage.active_bytes + usage.trash_bytes + usage.blob_bytes +
                      usage.metadata_bytes + usage.other_bytes;
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
    std::uint64_t value = 0;
    const char* const end = entry.name.data() + entry.name.size();
    const auto parsed = std::from_chars(entry.name.data(), end, value);
    if (parsed.ec == std::errc() && parsed.ptr == end && value != 0) ids.emplace_back(value);
  }
  std::sort(ids.begin(), ids.end());
  return ids;
}

Result<DiskUsage> usage_of_rows_and_files(Env& env, const HostPath& root) {
  DiskUsage usage;
  TRY(add_rows(env, usage));
  usage.metadata_bytes = static_cast<std::int64_t>(env.allocated_bytes());
  usage.other_bytes = TRY(bytes_of_the_rest(root));
  return usage;
}

Result<std::int64_t> measure_trees(const HostPath& root, std::span<const snapshot::SnapshotId> ids) {
  std::int64_t bytes = 0;
  for (const snapshot::SnapshotId id : ids) bytes += TRY(bytes_below(tree_path(root, id)), "measure tree {}", id);
  return bytes;
}

Result<DiskUsage> disk_usage(Env& env, const HostPath& root) {
  // Names first: a tree that is published after the listing is then found by its row and not measured.
  std::vector<snapshot::SnapshotId> unknown = TRY(list_trees(root), "disk usage of {}", root.str());
  DiskUsage usage = TRY(usage_of_rows_and_files(env, root), "disk usage of {}", root.str());
  std::unordered_set<snapshot::SnapshotId> known;
  TRY(env.view([&](ReadTxn& txn) -> Status {
    return snapshot::each_snapshot(txn, [&](const snapshot::SnapshotInfo& info) -> Result<Scan> {
      known.insert(info.id);
      return Scan::next;
    });
  }));
  TRY(env.view([&](ReadTxn& txn) -> Status {
    return snapshot::each_trash(txn, [&](snapshot::SnapshotId id, snapshot::Usage) -> Result<Scan> {
      known.insert(id);
      return Scan::next;
    });
  }));
  std::erase_if(unknown, [&](snapshot::SnapshotId id) { return known.contains(id); });
  usage.active_bytes = TRY(measure_trees(root, unknown));
  sum_up(usage);
  return usage;
}

Result<DiskUsage> owner_disk_usage(Store& store) {
  DiskUsage usage = TRY(usage_of_rows_and_files(store.env, store.root), "disk usage of {}", store.root.str());
  const auto now = store.clock.steady_now();
  const ActiveMeasure last = *store.active_measure.lock();
  usage.active_bytes = last.bytes;
  if (!last.known || now - last.when >= active_measure_age_max) {
    usage.active_bytes = TRY(measure_trees(store.root, store.snapshots.unpublished()));
    *store.active_measure.lock() = ActiveMeasure{now, usage.active_bytes, true};
  }
  sum_up(usage);
  return usage;
}

Status each_record(Env& env, const HostPath& root, const std::function<Status(const RecordInfo&)>& visit) {
  const auto visit_row = [&](ReadTxn&, const RecordId& id, const RecordRow& row) { return visit(to_info(id, row)); };
  return each_row(env, table::records, visit_row)
      .map_error([&](base::Error error) { return base::add_context(std::move(error), "records of " + root.str()); });
}

}  // namespace cairn::cache
