// SPDX-License-Identifier: Apache-2.0
// A store of libsnapshot with a writer and one table of the caller's own, as an embedder would have it; and whether the
// data of a group is synced, which is what the negative control takes away.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "libbase/lmdb/group_writer.h"
#include "libsnapshot/open.h"

namespace cairn::test {

enum class DataSync { real, left_out };

struct StoreOptions {
  base::lmdb::GroupWriter::Options::Order order = base::lmdb::GroupWriter::Options::Order::data_first;
  DataSync data_sync = DataSync::real;
  std::string driver = "overlay";
  unsigned chain_max = 3;
};

// The caller's row about a snapshot: in the same transaction as the snapshot's own.
using CallerTable = base::lmdb::TableSpec<snapshot::SnapshotId, std::string>;
inline constexpr CallerTable caller_table{{"power.trees", base::lmdb::Precious::persistent}};

class PowerStore {
 public:
  // Makes the directory if it is missing.
  static base::Result<std::unique_ptr<PowerStore>> open(const base::HostPath& root, const StoreOptions& options);
  PowerStore(const PowerStore&) = delete;
  PowerStore& operator=(const PowerStore&) = delete;

  // Queues the rows of a frozen snapshot.
  base::Result<base::lmdb::SequenceNumber> publish(snapshot::SnapshotId frozen);
  // Queues that they go.
  base::Result<base::lmdb::SequenceNumber> retire(snapshot::SnapshotId committed);

  base::lmdb::Env& env() { return *env_; }
  snapshot::Snapshotter& snapshots() { return *snapshots_; }
  base::lmdb::GroupWriter& writer() { return *writer_; }

 private:
  PowerStore() = default;
  std::unique_ptr<base::lmdb::Env> env_;
  std::unique_ptr<snapshot::Snapshotter> snapshots_;
  std::unique_ptr<base::lmdb::GroupWriter> writer_;
};

}  // namespace cairn::test
