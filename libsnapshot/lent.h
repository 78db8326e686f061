// SPDX-License-Identifier: Apache-2.0
// Trees that a program outside mounts and writes to by itself, as containerd does with those of its containers. A lent
// tree is an active snapshot with a row of its own, so it outlives the process that made it, a killed one too. Nothing
// here learns when it is mounted outside: whoever lends it says when it may be frozen or abandoned.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libbase/codec.h"
#include "libbase/lmdb/env.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// What mount(2) takes, as containerd has it. A layer may be named by each of hundreds of options: who mounts shortens
// their common prefix, as containerd does.
struct MountSpec {
  std::string type;    // "bind" or "overlay"
  std::string source;
  std::vector<std::string> options;
  bool operator==(const MountSpec&) const = default;
};

// In a write transaction. Once it is durable, the tree is active again after every restart, with the id and the parent
// that it has now. publish() ends the loan in its own transaction. The parent has a row before or in the same one, and is
// neither retired nor abandoned meanwhile, and abandon() refuses the tree itself (invalid_argument). Labels are not kept. Errors: not_found, invalid_argument (not active, a merge,
// or its parent has no row).
base::Status lend(base::lmdb::WriteTxn& txn, const Snapshotter& snapshots, SnapshotId active);
// In a write transaction. Once it is durable, the tree is to be abandoned; the next open does it if nobody has. None lent
// is success.
base::Status end_loan(base::lmdb::WriteTxn& txn, SnapshotId lent);
base::Result<std::vector<SnapshotId>> lent_trees(base::lmdb::ReadTxn& txn);

// How somebody outside mounts the snapshot: read_write an active one, whose changes lie in its own directory then;
// read_only any. root: the store's, as he sees it. The same as the last time, unless a layer below has been squashed
// since, which shows the same. What `in_use` holds keeps layers from being linked to, which he would see: keep it for as
// long as he may have it mounted. Errors: not_found, invalid_argument (read_write, and it is not active), unavailable (the
// driver in use cannot mount what another one made), io.
struct OutsideMount {
  MountSpec spec;
  std::shared_ptr<void> in_use;
};
base::Result<OutsideMount> mount_outside(Snapshotter& snapshots, const base::HostPath& root, SnapshotId id,
                                         Access access);

// As rows have labels: a count, then key and value of each, in order. Errors: corrupt (also what check_labels refuses).
void write_labels(base::ByteWriter& writer, const Labels& labels);
base::Result<Labels> read_labels(base::ByteReader& reader);
// What labels become by an update as Snapshotter::update has it. Errors: invalid_argument.
base::Result<Labels> edit_labels(const Labels& old, const Labels& given, std::span<const std::string> fields);

}  // namespace cairn::snapshot
