// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <map>

#include "libcache/account/check.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/blobs/positioned.h"
#include "libcache/records/scan.h"

namespace cairn::cache {

using base::Status;
using base::lmdb::ReadTxn;

namespace {

Status check_blob_names(CheckState& state) {
  const auto forward = [&](ReadTxn& txn, const std::tuple<RecordId, BlobDigest>& row, const Present&) -> Status {
    const auto& [record, blob] = row;
    if (!state.records.contains(record)) state.found(5, "blob {}: record {}, which names it, does not exist", blob, record);
    const auto info = TRY(txn.get(table::blobs, blob));
    if (!info) state.found(5, "record {}: its blob {} does not exist", record, blob);
    const auto back = TRY(txn.get(table::blob_records, {blob, record}));
    if (!back) state.found(5, "record {}: its blob {} does not know it", record, blob);
    return {};
  };
  TRY(each_row(state.env, table::record_blobs, forward));
  const auto backward = [&](ReadTxn& txn, const std::tuple<BlobDigest, RecordId>& row, const Present&) -> Status {
    const auto& [blob, record] = row;
    const auto named = TRY(txn.get(table::record_blobs, {record, blob}));
    if (!named) state.found(5, "blob {}: record {} does not name it", blob, record);
    return {};
  };
  return each_row(state.env, table::blob_records, backward);
}

}  // namespace

namespace {

// What rows say that packs hold, by pack.
using LiveBytes = std::map<std::uint64_t, std::uint64_t>;

void check_entry(CheckState& state, const PackFile& pack, const BlobDigest& digest, const BlobRow& row) {
  const std::uint64_t id = row.at.pack;
  std::array<char, entry_header_size> bytes;
  const auto count = read_at(pack.file.get(), row.at.offset, bytes.data(), bytes.size());
  const auto header = decode_entry_header({bytes.data(), count.value_or(0)}, pack.identity.salt, row.at.offset);
  const EntryKind kind = row.place == BlobPlace::pack ? EntryKind::blob : EntryKind::checksums;
  if (!header || header->kind != kind || header->digest != digest)
    state.found(1, "blob {}: its entry in pack {} is not there", digest, pack_name(id));
}

using BlobRows = std::vector<std::pair<BlobDigest, BlobRow>>;

// In the order of packs, so that each is opened once.
void check_entries(CheckState& state, BlobRows& blobs) {
  std::sort(blobs.begin(), blobs.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.at.pack, a.second.at.offset) < std::pair(b.second.at.pack, b.second.at.offset);
  });
  std::shared_ptr<const PackFile> pack;
  std::uint64_t opened = 0;
  for (const auto& [digest, row] : blobs) {
    const std::uint64_t id = row.at.pack;
    if (id == 0) continue;
    if (id != opened) {
      auto found = open_pack_file(state.root / ("blobs/packs/" + pack_name(id)), id, O_RDONLY);
      if (!found) state.found(1, "pack {}: {}", pack_name(id), found.error().message);
      pack = found.value_or(nullptr);
      opened = id;
    }
    if (pack)
      check_entry(state, *pack, digest, row);
    else
      state.found(1, "blob {}: its pack {} cannot be read", digest, pack_name(id));
  }
}

void check_file(CheckState& state, const BlobDigest& digest, const BlobRow& row) {
  struct ::stat stat {};
  if (::lstat(blob_path(state.root, digest).c_str(), &stat) != 0)
    state.found(1, "blob {}: its file is missing", digest);
  else if (!S_ISREG(stat.st_mode) || static_cast<std::uint64_t>(stat.st_size) != row.size)
    state.found(2, "blob {}: its file has {} bytes instead of {}", digest, stat.st_size, row.size);
}

Status check_pack_rows(CheckState& state, LiveBytes live) {
  TRY(each_row(state.env, table::packs, [&](ReadTxn&, const PackId& id, const PackRow& row) -> Status {
    const std::uint64_t counted = live[id.value()] + row.journal;
    live.erase(id.value());
    if (counted != row.live)
      state.found(9, "pack {}: {} bytes live in it, its row says {}", pack_name(id.value()), counted, row.live);
    return {};
  }));
  for (const auto& [id, bytes] : live)
    if (bytes != 0) state.found(9, "pack {}: {} bytes live in it, and it has no row", pack_name(id), bytes);
  return {};
}

}  // namespace

// Files without a row are legal: the next put of that blob adopts or replaces them. So are dead entries.
Status check_blobs(CheckState& state) {
  LiveBytes live;
  BlobRows blobs;
  TRY(each_row(state.env, table::blobs, [&](ReadTxn&, const BlobDigest& digest, const BlobRow& row) -> Status {
    blobs.emplace_back(digest, row);
    if (row.place == BlobPlace::file) live[0] += static_cast<std::uint64_t>(row.allocated_bytes);
    if (row.at.pack != 0)
      live[row.at.pack] += entry_bytes(row.place == BlobPlace::pack ? row.size : checksum_bytes(row.size));
    return {};
  }));
  for (const auto& [digest, row] : blobs)
    if (row.place == BlobPlace::file) check_file(state, digest, row);
  check_entries(state, blobs);
  TRY(check_pack_rows(state, std::move(live)));
  return check_blob_names(state);
}

}  // namespace cairn::cache
