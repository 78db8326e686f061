// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part two: what may be done to a snapshot when, what survives a
// restart, and what the rows say. Included by snapshotter_suite.h.
#pragma once

#include <sys/sysmacros.h>

#include <algorithm>

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;

TEST_P(SnapshotterSuite, StatActiveFrozenCommitted) {
  EXPECT_EQ(snapshots().driver(), GetParam());
  const auto lower = commit_with(std::nullopt, nothing);
  const auto id = prepare(lower);
  auto about = must(snapshots().stat(id));
  EXPECT_EQ(about.kind, Kind::active);
  EXPECT_EQ(about.parent, lower);
  EXPECT_EQ(about.usage.bytes, 0);
  EXPECT_THAT(snapshots().unpublished(), ElementsAre(id));
  write_to(id).write("file", std::string(100'000, 'x'));
  const auto usage = must(snapshots().freeze(id));
  about = must(snapshots().stat(id));
  EXPECT_EQ(about.kind, Kind::frozen);
  EXPECT_EQ(about.usage.bytes, usage.bytes);
  EXPECT_GE(usage.bytes, 100'000);
  EXPECT_EQ(usage.inodes, 3);  // the tree, fs and the file
  publish({id});
  about = must(snapshots().stat(id));
  EXPECT_EQ(about.kind, Kind::committed);
  EXPECT_EQ(about.parent, lower);
  EXPECT_EQ(about.usage.bytes, usage.bytes);
  EXPECT_THAT(snapshots().unpublished(), IsEmpty());
  EXPECT_EQ(code_of(snapshots().stat(SnapshotId(99999))), ErrorCode::not_found);
}

TEST_P(SnapshotterSuite, TransitivityTest) {
  const auto a = commit_with(std::nullopt, nothing);
  const auto b = commit_with(a, nothing);
  const auto c = prepare(b);
  EXPECT_EQ(must(snapshots().stat(a)).parent, SnapshotId());
  EXPECT_EQ(must(snapshots().stat(b)).parent, a);
  EXPECT_EQ(must(snapshots().stat(c)).parent, b);
}

TEST_P(SnapshotterSuite, PreareViewFailingtest) {
  const auto active = prepare();
  EXPECT_EQ(code_of(snapshots().prepare(active)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().prepare(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().mount(SnapshotId(4711), Access::read_only)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().mount(SnapshotId(4711), Access::read_write)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().freeze(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().abandon(SnapshotId(4711))), ErrorCode::not_found);
  must(snapshots().freeze(active));
  EXPECT_EQ(code_of(snapshots().freeze(active)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().mount(active, Access::read_write)), ErrorCode::invalid_argument);
  publish({active});
  EXPECT_EQ(code_of(snapshots().freeze(active)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().mount(active, Access::read_write)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().abandon(active)), ErrorCode::not_found);
}

TEST_P(SnapshotterSuite, PublishNeedsAFrozenSnapshotAndItsParent) {
  const auto publish_now = [&](SnapshotId id) {
    return store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, id); });
  };
  const auto active = prepare();
  EXPECT_EQ(code_of(publish_now(active)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(publish_now(SnapshotId(4711))), ErrorCode::not_found);
  must(snapshots().freeze(active));
  const auto child = freeze_with(active, nothing);
  EXPECT_EQ(code_of(publish_now(child)), ErrorCode::invalid_argument);
  must(store_->env->update([&](base::lmdb::WriteTxn& txn) -> base::Status {
    TRY(snapshots().publish(txn, active));
    TRY(snapshots().publish(txn, active));  // may run twice
    return snapshots().publish(txn, child);
  }));
  snapshots().published(active);
  snapshots().published(child);
  EXPECT_EQ(must(snapshots().stat(child)).parent, active);
}

TEST_P(SnapshotterSuite, MountedForWritingIsBusy) {
  const auto lower = commit_with(std::nullopt, nothing);
  for (const auto id : {prepare(), prepare(lower)}) {
    {
      Tree tree = write_to(id);
      EXPECT_EQ(code_of(snapshots().mount(id, Access::read_write)), ErrorCode::busy);
      EXPECT_EQ(code_of(snapshots().freeze(id)), ErrorCode::busy);
      EXPECT_EQ(code_of(snapshots().abandon(id)), ErrorCode::busy);
      tree.write("file", "1");
    }
    Tree again = write_to(id);
    EXPECT_EQ(again.read("file"), "1");
    again.write("file", "2");
    again.drop();
    must(snapshots().freeze(id));
    EXPECT_EQ(view(id).read("file"), "2");
  }
}

TEST_P(SnapshotterSuite, AMountIsInNobodysNamespace) {
  const auto count = [] { return must(base::read_file(must(base::HostPath::parse("/proc/self/mountinfo")), 1 << 24)); };
  const auto before = count();
  const auto id = prepare(commit_with(std::nullopt, nothing));
  Tree tree = write_to(id);
  EXPECT_EQ(count(), before);
  // What an executor does with it.
  const base::Fd clone(::syscall(SYS_open_tree, tree.fd(), "", 1 /* OPEN_TREE_CLONE */ | AT_EMPTY_PATH));
  EXPECT_TRUE(clone) << strerror(errno);
}

TEST_P(SnapshotterSuite, Remove) {
  const auto parent = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", std::string(50'000, 'a')); });
  const auto child = commit_with(parent, [](Tree& tree) { tree.write("b", std::string(50'000, 'b')); });
  const auto active = prepare(child);
  EXPECT_EQ(code_of(retire(parent)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(retire(child)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(retire(SnapshotId(4711))), ErrorCode::not_found);
  must(snapshots().abandon(active));
  EXPECT_EQ(code_of(snapshots().stat(active)), ErrorCode::not_found);
  EXPECT_EQ(view(child).read("b").size(), 50'000u);
  must(retire(child));
  EXPECT_EQ(code_of(snapshots().stat(child)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().prepare(child)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().mount(child, Access::read_only)), ErrorCode::not_found);
  EXPECT_EQ(code_of(retire(child)), ErrorCode::not_found);
  must(retire(parent));
  EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
  const auto before = bytes_on_disk();
  EXPECT_EQ(erase_trash(), before);
  EXPECT_THAT(trees_on_disk(), IsEmpty());
  EXPECT_EQ(bytes_in_rows(), 0);
  EXPECT_EQ(erase_trash(), 0);
}

TEST_P(SnapshotterSuite, RemoveIntermediateSnapshot) {
  const auto bottom = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto middle = commit_with(bottom, [](Tree& tree) { tree.write("b", "2"); });
  const auto frozen = freeze_with(middle, nothing);
  EXPECT_EQ(code_of(retire(middle)), ErrorCode::invalid_argument);
  must(snapshots().abandon(frozen));
  must(retire(middle));
  erase_trash();
  EXPECT_EQ(view(bottom).read("a"), "1");
}

TEST_P(SnapshotterSuite, RowsSumToTheDisk) {
  std::optional<SnapshotId> parent;
  for (int i = 0; i < 5; ++i) {
    parent = commit_with(parent, [&](Tree& tree) {
      tree.write("f" + std::to_string(i), std::string(10'000 * (i + 1), 'x'));
      if (i > 0) tree.remove("f" + std::to_string(i - 1));
    });
  }
  EXPECT_GT(bytes_in_rows(), 0);
  EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
}

TEST_P(SnapshotterSuite, UnpublishedSnapshotsAreParents) {
  const auto a = freeze_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto b = freeze_with(a, [](Tree& tree) { tree.write("b", "2"); });
  const auto c = freeze_with(b, [](Tree& tree) { tree.write("c", "3"); });
  EXPECT_THAT(view(c).names(), ElementsAre("a", "b", "c"));
  EXPECT_THAT(snapshots().unpublished(), ElementsAre(a, b, c));
  EXPECT_EQ(code_of(snapshots().abandon(a)), ErrorCode::invalid_argument);
  publish({a, b, c});
  restart();
  EXPECT_THAT(view(c).names(), ElementsAre("a", "b", "c"));
}

TEST_P(SnapshotterSuite, ARestartKeepsWhatIsPublishedAndNothingElse) {
  const auto before = store_->env->counts().commits;
  const auto kept = commit_with(std::nullopt, [](Tree& tree) { tree.write("kept", "1"); });
  const auto frozen = freeze_with(kept, [](Tree& tree) { tree.write("lost", "2"); });
  const auto active = prepare(frozen);
  write_to(active).write("lost too", "3");
  EXPECT_EQ(store_->env->counts().commits - before, 2u);  // one reservation of ids, one group
  restart();
  EXPECT_EQ(store_->env->counts().commits, 0u);
  EXPECT_THAT(trees_on_disk(), ElementsAre(std::to_string(kept.value())));
  EXPECT_EQ(code_of(snapshots().stat(frozen)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().stat(active)), ErrorCode::not_found);
  EXPECT_THAT(snapshots().unpublished(), IsEmpty());
  EXPECT_THAT(view(kept).names(), ElementsAre("kept"));
  EXPECT_GT(prepare(kept), active) << "ids are never used twice";
}

TEST_P(SnapshotterSuite, IdsCostOneTransactionEvery1024) {
  const auto before = store_->env->counts().commits;
  std::vector<SnapshotId> ids;
  for (int i = 0; i < 1100; ++i) {
    ids.push_back(prepare());
    must(snapshots().abandon(ids.back()));
  }
  EXPECT_EQ(store_->env->counts().commits - before, 2u);
  EXPECT_TRUE(std::is_sorted(ids.begin(), ids.end()));
  EXPECT_EQ(std::adjacent_find(ids.begin(), ids.end()), ids.end());
  restart();
  EXPECT_GT(prepare(), ids.back());
}

TEST_P(SnapshotterSuite, TrashGoesOnAfterARestart) {
  const auto a = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto b = commit_with(std::nullopt, [](Tree& tree) { tree.write("b", "2"); });
  must(retire(a));
  must(retire(b));
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(erase_trash(stopped.get_token()), 0);
  // A crash in the middle of an erasure leaves part of the files.
  if (GetParam() != "btrfs") {  // whose trees go as a whole
    const auto tree = must(base::open_host_dir(root_ / "trees"));
    must(base::remove_all_beneath(tree.get(), must(base::TreePath::parse(std::to_string(a.value()) + "/fs"))));
  }
  restart();
  EXPECT_EQ(trees_on_disk().size(), 2u) << "the trash is not what recovery erases";
  EXPECT_GT(erase_trash(), 0);
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_P(SnapshotterSuite, SyncIsOneCallUnlessAnotherTreeIsActive) {
  const auto a = freeze_with(std::nullopt, [](Tree& tree) {
    tree.make_dir("d");
    tree.write("d/a", "1");
    tree.write("b", "1");
  });
  const auto sync = [&](std::vector<base::lmdb::DataToken> tokens) {
    const auto before = base::sync_counts();
    must(snapshots().sync(tokens));
    const auto after = base::sync_counts();
    return std::pair(after.syncfs - before.syncfs, after.fsync - before.fsync);
  };
  const std::pair<std::uint64_t, std::uint64_t> none = {0, 0};
  const bool durable_once_frozen = GetParam() == "btrfs";
  EXPECT_EQ(sync({987654321}), none);
  const auto active = prepare();
  // The tree, fs, d, two files; trees/ and the root.
  EXPECT_EQ(sync({snapshots().data_token(a)}), durable_once_frozen ? none : std::pair(std::uint64_t{0}, std::uint64_t{7}));
  EXPECT_EQ(sync({snapshots().data_token(a)}), none) << "done already";
  must(snapshots().freeze(active));
  const auto c = freeze_with(a, [](Tree& tree) { tree.write("c", "1"); });
  EXPECT_EQ(sync({snapshots().data_token(active), snapshots().data_token(c)}),
            durable_once_frozen ? none : std::pair(std::uint64_t{1}, std::uint64_t{0}));
}

TEST_P(SnapshotterSuite, A450LayersAreFlattened) {
  const int layers = stacks() ? 450 : 60;  // full copies have no depth to run out of
  std::vector<SnapshotId> chain;
  for (int i = 0; i < layers; ++i) {
    chain.push_back(freeze_with(chain.empty() ? std::nullopt : std::optional(chain.back()), [&](Tree& tree) {
      tree.write("file" + std::to_string(i), std::to_string(i));
      if (i == 0) tree.link("file0", "link0");
      if (i % 10 == 9) tree.remove("file" + std::to_string(i - 1));
    }));
  }
  const auto check = [&] {
    Tree tree = view(chain.back());
    EXPECT_EQ(tree.names().size(), static_cast<std::size_t>(layers + 1 - layers / 10));
    for (int i = 0; i < layers; ++i) {
      const auto name = "file" + std::to_string(i);
      if (i % 10 == 8) {
        EXPECT_FALSE(tree.exists(name));
      } else {
        EXPECT_EQ(tree.read(name), std::to_string(i));
      }
    }
    EXPECT_GE(tree.stat("file0").st_nlink, 2u);  // flat copies are links, too
    EXPECT_EQ(tree.stat("file0").st_ino, tree.stat("link0").st_ino);
  };
  check();
  if (stacks()) {
    EXPECT_TRUE(must(snapshots().stat(chain[400])).flattened);
    EXPECT_EQ(must(snapshots().stat(chain[401])).depth, 2u);
  }
  EXPECT_EQ(must(snapshots().stat(chain.back())).depth, stacks() ? 50u : 1u);
  publish(chain);
  EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
  restart();
  check();
  if (stacks()) {
    EXPECT_TRUE(must(snapshots().stat(chain[400])).flattened);
  }
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) must(retire(*id));
  EXPECT_GT(erase_trash(), 0);
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_P(SnapshotterSuite, AFlatCopyOfACommittedParentIsNamedWithItsChild) {
  restart(3);
  std::vector<SnapshotId> chain;
  for (int i = 0; i < 4; ++i) {
    chain.push_back(commit_with(chain.empty() ? std::nullopt : std::optional(chain.back()),
                                [&](Tree& tree) { tree.write("f" + std::to_string(i), "x"); }));
  }
  const auto flat_of = [&](SnapshotId id) {
    return must(store_->env->view([&](base::lmdb::ReadTxn& txn) { return find_snapshot(txn, id); }))->flattened;
  };
  const auto lost = prepare(chain[3]);
  EXPECT_EQ(must(snapshots().stat(chain[3])).flattened, stacks());
  EXPECT_FALSE(flat_of(chain[3])) << "no child has been published";
  must(snapshots().abandon(lost));
  restart(3);  // the copy is on the disk, and nobody knows
  EXPECT_FALSE(must(snapshots().stat(chain[3])).flattened);
  EXPECT_EQ(view(chain[3]).names().size(), 4u);
  const auto child = commit_with(chain[3], [](Tree& tree) { tree.write("child", "x"); });
  EXPECT_EQ(flat_of(chain[3]), stacks());
  EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
  restart(3);
  EXPECT_EQ(must(snapshots().stat(child)).depth, stacks() ? 2u : 1u);
  EXPECT_EQ(view(child).names().size(), 5u);
  EXPECT_EQ(view(chain[3]).names().size(), 4u);
}

}  // namespace cairn::snapshot
