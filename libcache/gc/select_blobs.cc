// SPDX-License-Identifier: Apache-2.0
#include "libcache/gc/select_blobs.h"

#include <unordered_set>

#include "libcache/blobs/chunk_rows.h"
#include "libcache/records/lease_rows.h"
#include "libcache/records/scan.h"
#include "libcache/records/store.h"

namespace cairn::cache {

using base::Result;
using base::Status;
using base::lmdb::ReadTxn;
using base::lmdb::Scan;

namespace {

enum class Stays { yes, no, with_its_users };

class BlobSelection {
 public:
  BlobSelection(Store& store, const std::vector<RecordId>& gone)
      : store_(store), gone_(gone.begin(), gone.end()), now_(store.clock.now()) {}

  Status look(ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) {
    const Stays stays = TRY(judge(txn, digest));
    if (stays == Stays::yes) return {};
    SelectedBlob blob{{digest, row.size, row.allocated_bytes}};
    if (stays == Stays::with_its_users) {
      chunks_.push_back(blob);
      return {};
    }
    if (row.place == BlobPlace::chunks) blob.rows += TRY(chunks_of(txn, digest)).size();
    selected_.push_back(blob);
    going_.insert(digest);
    return {};
  }

  Result<std::vector<SelectedBlob>> take() {
    for (const SelectedBlob& chunk : chunks_) {
      const bool used = TRY(store_.env.view([&](ReadTxn& txn) { return is_in_another(txn, chunk.info.digest); }));
      if (!used) selected_.push_back(chunk);
    }
    return std::move(selected_);
  }

 private:
  Result<Stays> judge(ReadTxn& txn, const BlobDigest& digest) {
    bool stays = store_.blobs.is_claimed(digest) || TRY(is_leased(txn, digest, now_));
    TRY(scan_rows(txn, table::blob_records, digest.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
      stays = stays || !gone_.contains(std::get<1>(key));
      return stays ? Scan::stop : Scan::next;
    }));
    if (stays) return Stays::yes;
    return TRY(is_chunk(txn, digest)) ? Stays::with_its_users : Stays::no;
  }

  Result<bool> is_in_another(ReadTxn& txn, const BlobDigest& chunk) {
    bool used = false;
    TRY(scan_rows(txn, table::chunk_blobs, chunk.raw(), [&](const auto& key, const Present&) -> Result<Scan> {
      used = !going_.contains(std::get<1>(key));
      return used ? Scan::stop : Scan::next;
    }));
    return used;
  }

  Store& store_;
  const std::unordered_set<RecordId> gone_;
  const base::WallTime now_;
  std::vector<SelectedBlob> selected_, chunks_;  // chunks of blobs, which go if those do
  std::unordered_set<BlobDigest> going_;
};

}  // namespace

Result<std::vector<SelectedBlob>> select_blobs(Store& store, const std::vector<RecordId>& gone) {
  BlobSelection selection(store, gone);
  TRY(each_row(store.env, table::blobs, [&](ReadTxn& txn, const BlobDigest& digest, const BlobRow& row) {
    return selection.look(txn, digest, row);
  }));
  return selection.take();
}

}  // namespace cairn::cache
