// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part six: trees that are lent (libsnapshot/lent.h). The suite mounts
// them as somebody outside does. Included by snapshotter_suite.h.
#pragma once

#include "libsnapshot/lent.h"
#include "tests/conformance/snapshotter_fixture.h"
#include "tests/support/outside_mount.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;

class SnapshotterLentSuite : public SnapshotterSuite {
 protected:
  base::Status in_transaction(const std::function<base::Status(base::lmdb::WriteTxn&)>& change) {
    return store_->env->update(change);
  }
  SnapshotId lent(std::optional<SnapshotId> parent = std::nullopt) {
    const auto id = prepare(parent);
    must(in_transaction([&](base::lmdb::WriteTxn& txn) { return lend(txn, snapshots(), id); }));
    return id;
  }
  std::vector<SnapshotId> all_lent() {
    return must(store_->env->view([](base::lmdb::ReadTxn& txn) { return lent_trees(txn); }));
  }
  OutsideMount outside(SnapshotId id, Access access) { return must(mount_outside(snapshots(), root_.path(), id, access)); }
  Tree mounted(SnapshotId id, Access access) { return Tree(must(test::mount_as_told(outside(id, access).spec, root_.path()))); }
};

TEST_P(SnapshotterLentSuite, WhatIsWrittenOutsideIsKeptByARestartAndThenPublished) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("file", "below");
    tree.write("gone", "below");
  });
  const auto id = lent(base);
  {
    Tree tree = mounted(id, Access::read_write);
    EXPECT_EQ(tree.read("file"), "below");
    tree.write("file", "above");
    tree.remove("gone");
  }
  restart();
  EXPECT_THAT(all_lent(), ElementsAre(id));
  const auto about = must(snapshots().stat(id));
  EXPECT_EQ(about.kind, Kind::active);
  EXPECT_EQ(about.parent, base);
  {
    Tree tree = mounted(id, Access::read_write);
    EXPECT_EQ(tree.read("file"), "above");
    EXPECT_FALSE(tree.exists("gone"));
    tree.write("more", "written after the restart");
  }
  must(snapshots().freeze(id));
  publish({id});
  EXPECT_THAT(all_lent(), IsEmpty());
  restart();
  EXPECT_THAT(view(id).names(), ElementsAre("file", "more"));
  EXPECT_EQ(view(id).read("file"), "above");
  EXPECT_EQ(view(base).read("file"), "below");
}

TEST_P(SnapshotterLentSuite, KeepsItsParentAfterARestart) {
  const auto base = commit_with(std::nullopt, nothing);
  const auto id = lent(base);
  restart();
  EXPECT_EQ(code_of(retire(base)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().abandon(id)), ErrorCode::invalid_argument);
  must(in_transaction([&](base::lmdb::WriteTxn& txn) { return end_loan(txn, id); }));
  must(snapshots().abandon(id));
  must(retire(base));
}

TEST_P(SnapshotterLentSuite, ALoanThatHasEndedIsErasedByTheNextOpen) {
  const auto kept = lent();
  const auto ended = lent();
  must(in_transaction([&](base::lmdb::WriteTxn& txn) { return end_loan(txn, ended); }));
  restart();
  EXPECT_THAT(trees_on_disk(), ElementsAre(std::to_string(kept.value())));
  // Also after the block of its id is no longer the newest one.
  must(in_transaction([&](base::lmdb::WriteTxn& txn) { return end_loan(txn, kept); }));
  for (int i = 0; i < 1025; ++i) must(snapshots().reserve_id());
  restart();
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_P(SnapshotterLentSuite, IsActiveAgainWhenItsOwnerDiedAfterItWasFrozen) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("file", "below"); });
  const auto id = lent(base);
  mounted(id, Access::read_write).write("file", "above");
  must(snapshots().freeze(id));
  restart();
  Tree tree = mounted(id, Access::read_write);
  EXPECT_EQ(tree.read("file"), "above");
  tree.write("file", "and written to");
  EXPECT_EQ(tree.read("file"), "and written to");
}

TEST_P(SnapshotterLentSuite, IsEmptyIfAPowerCutTookItsDirectories) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("file", "below"); });
  const auto id = lent(base);
  store_.reset();
  const auto trees = must(base::open_host_dir(root_ / "trees"));
  if (!traits().links) {
    GTEST_LOG_(INFO) << "a subvolume is made by a commit of the file system, so it is not lost";
  } else {
    must(base::remove_all_beneath(trees.get(), must(base::TreePath::parse(std::to_string(id.value())))));
  }
  start();
  Tree tree = mounted(id, Access::read_write);
  EXPECT_EQ(tree.read("file"), "below");
  tree.write("file", "above");
}

TEST_P(SnapshotterLentSuite, IsMountedOutsideAsTheDriverMountsIt) {
  const auto lowest = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto above = commit_with(lowest, [](Tree& tree) { tree.write("b", "2"); });
  const auto path = [&](SnapshotId id, const std::string& part) {
    return (root_ / ("trees/" + std::to_string(id.value()) + "/" + part)).str();
  };
  EXPECT_EQ(outside(lowest, Access::read_only).spec, (MountSpec{"bind", path(lowest, "fs"), {"ro", "rbind"}}));
  const auto id = lent(above);
  const auto spec = outside(id, Access::read_write).spec;
  EXPECT_EQ(outside(id, Access::read_write).spec, spec);
  if (!stacks()) {
    EXPECT_EQ(spec, (MountSpec{"bind", path(id, "fs"), {"rw", "rbind"}}));
    EXPECT_EQ(outside(above, Access::read_only).spec, (MountSpec{"bind", path(above, "fs"), {"ro", "rbind"}}));
  } else {
    EXPECT_EQ(spec.type, "overlay");
    ASSERT_GE(spec.options.size(), 3u);
    EXPECT_EQ(spec.options[0], "workdir=" + path(id, "work"));
    EXPECT_EQ(spec.options[1], "upperdir=" + path(id, "fs"));
    EXPECT_EQ(spec.options[2], "lowerdir=" + path(above, "fs") + ":" + path(lowest, "fs"));
    EXPECT_EQ(outside(above, Access::read_only).spec.options[0], "lowerdir=" + path(above, "fs") + ":" + path(lowest, "fs"));
  }
  EXPECT_EQ(mounted(above, Access::read_only).names(), (std::vector<std::string>{"a", "b"}));
}

TEST_P(SnapshotterLentSuite, RefusesWhatCannotBeLent) {
  const auto base = commit_with(std::nullopt, nothing);
  const auto frozen = freeze_with(base, nothing);
  const auto on_frozen = prepare(frozen);
  const auto tries = [&](SnapshotId id) {
    return code_of(in_transaction([&](base::lmdb::WriteTxn& txn) { return lend(txn, snapshots(), id); }));
  };
  EXPECT_EQ(tries(SnapshotId(4711)), ErrorCode::not_found);
  EXPECT_EQ(tries(base), ErrorCode::not_found);
  EXPECT_EQ(tries(frozen), ErrorCode::invalid_argument);
  EXPECT_EQ(tries(on_frozen), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(mount_outside(snapshots(), root_.path(), base, Access::read_write)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(mount_outside(snapshots(), root_.path(), SnapshotId(4711), Access::read_only)), ErrorCode::not_found);
}

}  // namespace cairn::snapshot
