// SPDX-License-Identifier: Apache-2.0
// A store on a disk of its own that can be filled up, made to fail, or turned read-only in the middle, with snapshots
// in all states and something in the trash; the steps of libsnapshot's life, each of which can meet the fault; and the proof that the store is valid
// afterwards.
#pragma once

#include <gmock/gmock.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "libsnapshot/changes.h"
#include "libsnapshot/diff.h"
#include "libsnapshot/layer.h"
#include "libsnapshot/merge.h"
#include "tests/support/block_device.h"
#include "tests/support/disk/fuse_disk.h"
#include "tests/e2e/power/power_store.h"
#include "tests/e2e/power/snapshot_check.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

class FaultyStore {
 public:
  // An ext4 file system that turns read-only when it finds an error in itself, on a disk that can fail.
  FaultyStore();
  ~FaultyStore();

  // One snapshot of each kind, the committed ones durable.
  snapshot::SnapshotId base;    // committed
  snapshot::SnapshotId deep;    // committed; a child of it needs a flat copy
  snapshot::SnapshotId active;  // with changes, not mounted
  snapshot::SnapshotId frozen;  // on base
  snapshot::SnapshotId leaf;    // committed, without children
  snapshot::SnapshotId target;  // active; what layers are applied to, mounted as target_tree
  snapshot::MountedTree target_tree;
  snapshot::MergeCounts merge_counts;  // of the last merge

  PowerStore& store() { return *store_; }
  snapshot::Snapshotter& snapshots() { return store_->snapshots(); }
  FuseDisk& disk() { return *disk_; }
  base::HostPath root() const { return where_ / "store"; }

  void fill();   // until not a byte is free
  void drain();  // gives all of it back
  void drain_bytes(std::uint64_t count);
  std::uint64_t free_bytes() const;
  void fail_file_system();  // as if it had found itself damaged: it is read-only from now on

  // Closes the store and mounts the file system anew. Afterwards only what is committed is there, and nothing of it in
  // memory.
  void remount();
  void close();  // the same, without a store
  // All of it is in memory afterwards.
  void load_metadata();
  // Makes `frozen`, `active` and `target` anew.
  void make_unpublished();
  // As a machine that is reset: the disk works again, and what had not reached it is lost.
  void lose_memory();
  // What is wrong with the store, opened as a new owner would. Everything that has been acknowledged has to be there.
  std::vector<std::string> violations();
  std::vector<std::string> trees_on_disk() const;
  void acknowledge(snapshot::SnapshotId id) { acknowledged_.push_back(id); }
  void retired(snapshot::SnapshotId id) { std::erase(acknowledged_, id); }

 private:
  snapshot::SnapshotId freeze_one(std::optional<snapshot::SnapshotId> parent, std::uint64_t seed);
  snapshot::SnapshotId commit_one(std::optional<snapshot::SnapshotId> parent, std::uint64_t seed);
  void attach();   // a device over image_
  void mount();    // the file system on it
  void open();     // mount, and the store in it
  void unmount();

  TempDir where_;
  base::Fd image_;
  std::unique_ptr<FuseDisk> disk_;
  base::Fd file_;
  std::unique_ptr<LoopDevice> device_;
  std::optional<Mount> mount_;
  std::unique_ptr<PowerStore> store_;
  std::vector<std::pair<snapshot::SnapshotId, std::string>> states_;
  std::vector<snapshot::SnapshotId> acknowledged_;
};

// A call that may meet the fault.
struct Step {
  std::string name;
  std::function<base::Status(FaultyStore&)> run;
  std::string test_name() const;  // the name without blanks
};
// Every public call of the snapshotter, and of layers, diffs and merges.
const std::vector<Step>& all_steps();

}  // namespace cairn::test
