// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/quarantine.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "libbase/log/log.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

namespace {

constexpr std::size_t keys_max = 4096;

// I5: no key leads to a record that needs what is not there. A record without keys goes with the next collection.
Status unname(WriteTxn& txn, const BlobDigest& digest) {
  std::vector<RecordId> records;
  TRY(scan_rows(txn, table::blob_records, digest.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
    records.push_back(std::get<1>(key));
    return Scan::next;
  }));
  std::vector<KeyDigest> keys;
  for (const RecordId record : records) {
    TRY(erase_results_of(txn, record, keys));
    TRY(txn.erase(table::record_blobs, {record, digest}));
    TRY(txn.erase(table::blob_records, {digest, record}));
  }
  return erase_dead_keys(txn, keys, keys_max);
}

void keep_file(Store& store, const BlobDigest& digest) {
  const base::HostPath dir = store.root / "quarantine";
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) return;
  if (::rename(blob_path(store.root, digest).c_str(), (dir / digest.hex()).c_str()) != 0 && errno != ENOENT)
    base::log_warning("blob {} is damaged and cannot be moved away: {}", digest, base::errno_text(errno));
}

}  // namespace

Status quarantine_blob(Store& store, const BlobDigest& digest, const BlobRow& found, const std::string& reason) {
  const auto gone = std::make_shared<bool>(false);
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [digest, found, reason, gone, when = store.clock.now()](WriteTxn& txn) -> Status {
    const auto row = TRY(txn.get(table::blobs, digest));
    *gone = row == found;
    if (!*gone) return {};
    TRY(erase_blob(txn, digest));
    TRY(unname(txn, digest));
    return txn.put(table::quarantine, digest, QuarantineRow{when, reason});
  };
  entry.done = [&store, digest, found, reason, gone](const Status& outcome) {
    if (!outcome || !*gone) return;
    base::log_warning("blob {} is damaged and becomes a miss: {}", digest, reason);
    if (found.place == BlobPlace::file) keep_file(store, digest);
  };
  TRY(enqueue(store, std::move(entry)));
  return {};
}

}  // namespace cairn::cache

namespace cairn::base {

std::string Codec<cache::QuarantineRow>::encode(const cache::QuarantineRow& row) {
  return ByteWriter().u8(cache::row_version).i64(to_unix_ns(row.when)).string(row.reason).take();
}

Result<cache::QuarantineRow> Codec<cache::QuarantineRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::QuarantineRow row;
  row.when = from_unix_ns(TRY(reader.i64()));
  row.reason = TRY(reader.string());
  TRY(reader.expect_end());
  return row;
}

std::string Codec<cache::ScrubRow>::encode(const cache::ScrubRow& row) {
  return ByteWriter().u8(cache::row_version).raw(row.next.raw()).take();
}

Result<cache::ScrubRow> Codec<cache::ScrubRow>::decode(std::string_view bytes) {
  ByteReader reader(bytes);
  TRY(cache::expect_row_version(reader));
  cache::ScrubRow row;
  row.next = TRY(BlobDigest::from_raw(TRY(reader.raw(32))));
  TRY(reader.expect_end());
  return row;
}

}  // namespace cairn::base
