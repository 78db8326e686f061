// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/quarantine.h"

#include <sys/stat.h>

#include <cerrno>
#include <cstdio>

#include "libbase/log/log.h"
#include "libcache/blobs/blob_files.h"
#include "libcache/blobs/chunk_rows.h"
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
constexpr std::size_t users_max = 256, user_chunks_max = 64 * 1024;  // in one transaction, but for the last user

// I5: no key leads to a record that needs what is not there. A record without keys goes with the next collection.
Status unname(WriteTxn& txn, const BlobDigest& digest) {
  std::vector<KeyDigest> keys;
  for (const RecordId record : TRY(records_that_name(txn, digest))) TRY(erase_results_of(txn, record, keys));
  return erase_dead_keys(txn, keys, keys_max);
}

Status take_out(WriteTxn& txn, const BlobDigest& digest, const QuarantineRow& why) {
  TRY(unname(txn, digest));
  TRY(erase_blob(txn, digest));
  return txn.put(table::quarantine, digest, why);
}

enum class Users { gone, more };

// Blobs that the chunk is in cannot be read any more, either. As many as one transaction should take.
Result<Users> take_out_users(WriteTxn& txn, const BlobDigest& chunk, const QuarantineRow& why) {
  std::vector<BlobDigest> users;
  TRY(scan_rows(txn, table::chunk_blobs, chunk.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
    users.push_back(std::get<1>(key));
    return users.size() == users_max ? Scan::stop : Scan::next;
  }));
  std::size_t chunks = 0;
  for (const BlobDigest& user : users) {
    chunks += TRY(chunks_of(txn, user)).size();
    TRY(take_out(txn, user, {why.when, fmt::format("its chunk {}: {}", chunk, why.reason)}));
    if (chunks > user_chunks_max) return Users::more;
  }
  return users.size() == users_max ? Users::more : Users::gone;
}

void keep_file(Store& store, const BlobDigest& digest) {
  const base::HostPath dir = store.root / "quarantine";
  if (::mkdir(dir.c_str(), 0700) != 0 && errno != EEXIST) return;
  if (::rename(blob_path(store.root, digest).c_str(), (dir / digest.hex()).c_str()) != 0 && errno != ENOENT)
    base::log_warning("blob {} is damaged and cannot be moved away: {}", digest, base::errno_text(errno));
}

}  // namespace

Status quarantine_blob(Store& store, const BlobDigest& digest, const BlobRow& found, const std::string& reason,
                       std::shared_ptr<BlobClaims::Damage> damage) {
  struct Progress {
    bool gone = false, more = false;
  };
  const auto progress = std::make_shared<Progress>();
  base::lmdb::GroupWriter::Entry entry;
  entry.change = [digest, found, reason, progress, when = store.clock.now()](WriteTxn& txn) -> Status {
    *progress = {};
    if (TRY(txn.get(table::blobs, digest)) != found) return {};
    const QuarantineRow why{when, reason};
    progress->more = TRY(take_out_users(txn, digest, why)) == Users::more;
    if (progress->more) return {};
    progress->gone = true;
    return take_out(txn, digest, why);
  };
  entry.done = [&store, digest, found, reason, progress, damage = std::move(damage)](const Status& outcome) mutable {
    const auto ends = std::move(damage);  // whoever waits for it may go on when this has returned
    if (!outcome) return;
    if (progress->more) {
      if (const Status next = quarantine_blob(store, digest, found, reason, ends); !next)
        base::log_warning("blob {} is damaged and stays: {}", digest, next.error().message);
    }
    if (!progress->gone) return;
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
