// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/sharing.h"

#include <vector>

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

enum class Change { add, take };

void apply(Usage& usage, const Usage& change, Change direction) {
  if (direction == Change::add) usage += change;
  if (direction == Change::take) usage -= change;
}

// The exclusive space of a snapshot, be it committed or in the trash.
Status change_exclusive(WriteTxn& txn, SnapshotId id, const Usage& usage, Change direction) {
  if (auto row = TRY(txn.get(snapshot_table, id))) {
    apply(row->exclusive, usage, direction);
    return txn.put(snapshot_table, id, *row);
  }
  auto trash = TRY(txn.get(trash_table, id));
  if (!trash) return fail(ErrorCode::corrupt, "snapshot {} shares inodes and has no row", id);
  apply(trash->usage, usage, direction);
  return txn.put(trash_table, id, *trash);
}

Status change_shared(WriteTxn& txn, const Usage& usage, Change direction) {
  auto row = TRY(txn.get(total_table, shared_total)).value_or(TotalRow{});
  apply(row.usage, usage, direction);
  return txn.put(total_table, shared_total, row);
}

base::Result<bool> exists(WriteTxn& txn, SnapshotId id) {
  const auto key = base::Codec<SnapshotId>::encode(id);
  if (TRY(txn.get_raw(snapshot_table, key))) return true;
  return TRY(txn.get_raw(trash_table, key)).has_value();
}

// False: nobody else names it.
base::Result<bool> claim(WriteTxn& txn, SnapshotId owner, const LinkedInode& linked) {
  auto row = TRY(txn.get(inode_table, InodeNumber(linked.inode)));
  if (!row) {
    if (!TRY(exists(txn, linked.source))) return false;
    row = InodeRow{.count = 1, .owners = linked.source.value(), .usage = linked.usage};
    TRY(txn.put(claim_table, ClaimKey{linked.source, linked.inode}, Present{}));
  }
  const ClaimKey key{owner, linked.inode};
  if (TRY(txn.get(claim_table, key))) return false;  // counted already
  if (row->count == 1) {
    TRY(change_exclusive(txn, SnapshotId(row->owners), row->usage, Change::take));
    TRY(change_shared(txn, row->usage, Change::add));
  }
  row->count += 1;
  row->owners ^= owner.value();
  TRY(txn.put(claim_table, key, Present{}));
  TRY(txn.put(inode_table, InodeNumber(linked.inode), *row));
  return true;
}

Status release(WriteTxn& txn, const ClaimKey& key) {
  auto row = TRY(txn.get(inode_table, InodeNumber(key.inode)));
  if (!row) return fail(ErrorCode::corrupt, "snapshot {} claims inode {}, which has no row", key.owner, key.inode);
  TRY(txn.erase(claim_table, key));
  row->count -= 1;
  row->owners ^= key.owner.value();
  if (row->count == 0) return txn.erase(inode_table, InodeNumber(key.inode));
  if (row->count == 1) {
    TRY(change_exclusive(txn, SnapshotId(row->owners), row->usage, Change::add));
    TRY(change_shared(txn, row->usage, Change::take));
  }
  return txn.put(inode_table, InodeNumber(key.inode), *row);
}

}  // namespace

base::Result<Usage> claim_inodes(WriteTxn& txn, SnapshotId owner, std::span<const LinkedInode> inodes) {
  Usage shared;
  for (const auto& linked : inodes) {
    if (TRY(claim(txn, owner, linked))) shared += linked.usage;
  }
  return shared;
}

base::Result<Claims> release_claims(WriteTxn& txn, SnapshotId owner, std::size_t count_max) {
  std::vector<ClaimKey> keys;
  TRY(txn.scan_raw(claim_table, base::Codec<SnapshotId>::encode(owner), {},
                   [&](std::string_view key, std::string_view) -> base::Result<Scan> {
                     keys.push_back(TRY(base::Codec<ClaimKey>::decode(key), "snapshot.claims key"));
                     return keys.size() < count_max ? Scan::next : Scan::stop;
                   }));
  for (const auto& key : keys) TRY(release(txn, key), "give up what snapshot {} shares", owner);
  return keys.size() < count_max ? Claims::gone : Claims::left;
}

}  // namespace cairn::snapshot
