// SPDX-License-Identifier: Apache-2.0
#include "tests/e2e/power/power_store.h"

#include <vector>

#include "libbase/fs/host_tree.h"

namespace cairn::test {

using base::Status;
using base::lmdb::DataToken;
using base::lmdb::GroupWriter;
using snapshot::SnapshotId;

base::Result<std::unique_ptr<PowerStore>> PowerStore::open(const base::HostPath& root, const StoreOptions& options) {
  TRY(base::make_host_dirs(root));
  std::unique_ptr<PowerStore> store(new PowerStore);
  std::vector<const base::lmdb::RawTableSpec*> tables(snapshot::tables().begin(), snapshot::tables().end());
  tables.push_back(&caller_table);
  store->env_ = TRY(base::lmdb::Env::open(root / "meta", tables, {}));
  store->snapshots_ =
      TRY(snapshot::open(root, *store->env_, {.driver = options.driver, .chain_max = options.chain_max}));
  GroupWriter::Options writer;
  writer.order = options.order;
  const bool real = options.data_sync == DataSync::real;
  store->writer_ = std::make_unique<GroupWriter>(
      *store->env_,
      [snapshots = store->snapshots_.get(), real](std::span<const DataToken> tokens) -> Status {
        if (!real) return {};
        return snapshots->sync(tokens);
      },
      writer);
  return store;
}

base::Result<base::lmdb::SequenceNumber> PowerStore::publish(SnapshotId frozen) {
  GroupWriter::Entry entry;
  entry.change = [this, frozen](base::lmdb::WriteTxn& txn) -> Status {
    TRY(snapshots_->publish(txn, frozen));
    return txn.put(caller_table, frozen, "published");
  };
  entry.data = {snapshots_->data_token(frozen)};
  entry.done = [this, frozen](const Status& outcome) {
    if (outcome) snapshots_->published(frozen);
  };
  return writer_->enqueue(std::move(entry));
}

base::Result<base::lmdb::SequenceNumber> PowerStore::retire(SnapshotId committed) {
  GroupWriter::Entry entry;
  entry.change = [this, committed](base::lmdb::WriteTxn& txn) -> Status {
    TRY(snapshots_->retire(txn, committed));
    return txn.erase(caller_table, committed);
  };
  return writer_->enqueue(std::move(entry));
}

}  // namespace cairn::test
