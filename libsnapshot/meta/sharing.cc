// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/meta/sharing.h"

#include <vector>

#include "libsnapshot/meta/totals.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::Status;
using base::lmdb::Scan;
using base::lmdb::WriteTxn;

// The exclusive space of a snapshot, be it committed or in the trash.
Status change_exclusive(WriteTxn& txn, SnapshotId id, const Usage& usage, Counting direction,
                        const ExclusiveChanged& changed) {
  if (auto row = TRY(txn.get(snapshot_table, id))) {
    apply(row->exclusive, usage, direction);
    TRY(put_snapshot(txn, id, *row));
    return changed ? changed(txn, info_of(id, *row)) : Status();
  }
  auto trash = TRY(txn.get(trash_table, id));
  if (!trash) return fail(ErrorCode::corrupt, "snapshot {} shares inodes and has no row", id);
  apply(trash->usage, usage, direction);
  return put_trash(txn, id, *trash);
}

base::Result<bool> exists(WriteTxn& txn, SnapshotId id) {
  const auto key = base::Codec<SnapshotId>::encode(id);
  if (TRY(txn.get_raw(snapshot_table, key))) return true;
  return TRY(txn.get_raw(trash_table, key)).has_value();
}

// False: nobody else names it.
base::Result<bool> claim(WriteTxn& txn, SnapshotId owner, const LinkedInode& linked, const ExclusiveChanged& changed) {
  auto row = TRY(txn.get(inode_table, InodeNumber(linked.inode)));
  if (!row) {
    if (!TRY(exists(txn, linked.source))) return false;
    row = InodeRow{.count = 1, .owners = linked.source.value(), .usage = linked.usage};
    TRY(txn.put(claim_table, ClaimKey{linked.source, linked.inode}, Present{}));
  }
  const ClaimKey key{owner, linked.inode};
  if (TRY(txn.get(claim_table, key))) return false;  // counted already
  if (row->count == 1) {
    TRY(change_exclusive(txn, SnapshotId(row->owners), row->usage, Counting::take, changed));
    TRY(change_total(txn, shared_total, row->usage, Counting::add));
  }
  row->count += 1;
  row->owners ^= owner.value();
  TRY(txn.put(claim_table, key, Present{}));
  TRY(txn.put(inode_table, InodeNumber(linked.inode), *row));
  return true;
}

Status release(WriteTxn& txn, const ClaimKey& key, const ExclusiveChanged& changed) {
  auto row = TRY(txn.get(inode_table, InodeNumber(key.inode)));
  if (!row) return fail(ErrorCode::corrupt, "snapshot {} claims inode {}, which has no row", key.owner, key.inode);
  TRY(txn.erase(claim_table, key));
  row->count -= 1;
  row->owners ^= key.owner.value();
  if (row->count == 0) return txn.erase(inode_table, InodeNumber(key.inode));
  if (row->count == 1) {
    TRY(change_exclusive(txn, SnapshotId(row->owners), row->usage, Counting::add, changed));
    TRY(change_total(txn, shared_total, row->usage, Counting::take));
  }
  return txn.put(inode_table, InodeNumber(key.inode), *row);
}

}  // namespace

base::Result<Usage> claim_inodes(WriteTxn& txn, SnapshotId owner, std::span<const LinkedInode> inodes,
                                 const ExclusiveChanged& changed) {
  Usage shared;
  for (const auto& linked : inodes) {
    if (TRY(claim(txn, owner, linked, changed))) shared += linked.usage;
  }
  return shared;
}

base::Result<Claims> release_claims(WriteTxn& txn, SnapshotId owner, std::size_t count_max,
                                    const ExclusiveChanged& changed) {
  std::vector<ClaimKey> keys;
  TRY(txn.scan_raw(claim_table, base::Codec<SnapshotId>::encode(owner), {},
                   [&](std::string_view key, std::string_view) -> base::Result<Scan> {
                     keys.push_back(TRY(base::Codec<ClaimKey>::decode(key), "snapshot.claims key"));
                     return keys.size() < count_max ? Scan::next : Scan::stop;
                   }));
  for (const auto& key : keys) TRY(release(txn, key, changed), "give up what snapshot {} shares", owner);
  return keys.size() < count_max ? Claims::gone : Claims::left;
}

}  // namespace cairn::snapshot
