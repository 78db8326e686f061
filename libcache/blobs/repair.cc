// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/repair.h"

#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <vector>

#include "libbase/crash_point.h"
#include "libbase/fs/beneath.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/blobs/positioned.h"
#include "libcache/records/batch.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::ErrorCode;
using base::HostPath;
using base::Result;
using base::Status;
using base::lmdb::ReadTxn;

namespace {

using BlobRows = std::vector<std::pair<BlobDigest, BlobRow>>;

}  // namespace

Result<std::string> look_at_file(const HostPath& path, std::uint64_t size) {
  struct ::stat stat {};
  if (::lstat(path.c_str(), &stat) != 0) {
    if (errno != ENOENT) return base::fail_errno(errno, "look at {}", path.str());
    return std::string("its file is missing");
  }
  if (!S_ISREG(stat.st_mode)) return std::string("its file is none");
  if (static_cast<std::uint64_t>(stat.st_size) == size) return std::string();
  return fmt::format("its file has {} bytes instead of {}", stat.st_size, size);
}

// The header alone; whether the payload is right, a scrub says.
Result<std::string> look_at_entry(Packs& packs, const BlobDigest& digest, const BlobRow& row) {
  const auto pack = packs.open_pack(row.at.pack);
  if (!pack && pack.error().code != ErrorCode::not_found && pack.error().code != ErrorCode::corrupt)
    return tl::unexpected(pack.error());
  if (!pack) return pack.error().message;
  std::array<char, entry_header_size> bytes;
  const std::size_t count = TRY(read_at((*pack)->file.get(), row.at.offset, bytes.data(), bytes.size()));
  const auto header = decode_entry_header({bytes.data(), count}, (*pack)->identity.salt, row.at.offset);
  if (!header || header->kind != EntryKind::blob || header->digest != digest || header->size != row.size)
    return fmt::format("its entry is not in pack {}", pack_name(row.at.pack));
  return std::string();
}

namespace {

Result<std::string> look_at(Store& store, const BlobDigest& digest, const BlobRow& row) {
  switch (row.place) {
    case BlobPlace::file: return look_at_file(blob_path(store.root, digest), row.size);
    case BlobPlace::pack: return look_at_entry(*store.packs, digest, row);
    case BlobPlace::chunks: break;
  }
  const auto sound = store.blobs.verify(digest);  // which makes it a miss
  if (sound || sound.error().code == ErrorCode::not_found) return std::string();
  if (sound.error().code != ErrorCode::corrupt) return tl::unexpected(sound.error());
  return sound.error().message;
}

// A row that has moved or gone meanwhile is no row of the blob any more; found_damaged() compares.
Status miss_what_is_not_there(Store& store, std::stop_token stop, BlobRepair& done) {
  BlobRows rows;
  TRY(each_row(store.env, table::blobs, [&](ReadTxn&, const BlobDigest& digest, const BlobRow& row) -> Status {
    rows.emplace_back(digest, row);
    return {};
  }));
  for (const auto& [digest, row] : rows) {
    if (stop.stop_requested()) return {};
    const std::string why = TRY(look_at(store, digest, row));
    if (why.empty()) continue;
    const auto now = TRY(store.env.view([&blob = digest](ReadTxn& txn) { return txn.get(table::blobs, blob); }));
    if (now != row) continue;
    store.blobs.found_damaged(digest, row, why);
    ++done.missed;
  }
  return {};
}

Status delete_stray_files(Store& store, std::stop_token stop, BlobRepair& done) {
  return each_blob_file(store.root, stop, [&](const BlobDigest& digest, std::int64_t allocated_bytes) -> Status {
    if (!TRY(store.blobs.remove_stray(digest))) return {};
    CRASH_POINT("cache.repair.stray_deleted");
    ++done.stray_files;
    done.freed_bytes += allocated_bytes;
    return {};
  });
}

}  // namespace

Status each_blob_file(const HostPath& root, const std::stop_token& stop,
                      const std::function<Status(const BlobDigest&, std::int64_t allocated_bytes)>& visit) {
  const base::Fd dir = TRY(base::open_host_dir(root / "blobs/sha256"));
  for (const base::DirEntry& shard : TRY(base::list_dir(dir.get()))) {
    const auto inner = base::open_host_dir(root / ("blobs/sha256/" + shard.name));
    if (!inner) continue;  // no directory: not ours
    for (const base::DirEntry& entry : TRY(base::list_dir(inner->get()))) {
      if (stop.stop_requested()) return {};
      const auto digest = BlobDigest::parse("sha256:" + entry.name);
      if (!digest || shard.name != entry.name.substr(0, 2)) continue;
      struct ::stat stat {};
      if (::lstat(blob_path(root, *digest).c_str(), &stat) != 0 || !S_ISREG(stat.st_mode)) continue;
      TRY(visit(*digest, std::int64_t{stat.st_blocks} * 512));
    }
  }
  return {};
}

Result<BlobRepair> repair_blobs(Store& store, std::stop_token stop) {
  BlobRepair done;
  TRY(miss_what_is_not_there(store, stop, done), "repair blobs");
  TRY(await_outcomes(store), "repair blobs");
  TRY(delete_stray_files(store, stop, done), "repair blobs");
  return done;
}

}  // namespace cairn::cache
