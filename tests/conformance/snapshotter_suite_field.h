// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part five: the cases of containerd's metastore and overlay tests and
// of BuildKit's snapshot tests that are not said elsewhere in the suite, by the names they have there (spec/storage 2.2).
// Included by snapshotter_suite.h.
//
// Left out, because they have no meaning in this contract:
//   CreateActiveExist, CommitExist, and of Basic and Remove the reuse of keys: callers give no names; each snapshot has an
//     id that is never used twice.
//   Rebase: the parent of a snapshot is what it was forked from. A tree that is to lie on another one is a merge.
//   ConfiguredIndexNotOverridden: callers give no mount options.
//   RemappedBind, RemappedActive, RemappedInvalidMapping: there is no id mapping in the contract; trees hold the ids of
//     the layers, and a user namespace around them is the executor's.
//   OverlayMount's order of options: there are none, layers go in by descriptor. That its mount is an overlay, and
//     that changes go to fs/, is checked.
//   of View its options: likewise; that one parent is mounted without an overlay is checked.
//   Cleanup: recovery and the trash do it, see ARestartKeepsWhatIsPublishedAndNothingElse and TrashGoesOnAfterARestart.
//   Remove's returned id and kind: callers have them.
//   TestMerge, TestMergeFileCapabilities: tests of merge.h.
#pragma once

#include <linux/magic.h>
#include <sys/statfs.h>

#include <cstdlib>

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;

class SnapshotterFieldSuite : public SnapshotterSuite {
 protected:
  bool is_overlay(const Tree& tree) {
    struct ::statfs about {};
    EXPECT_EQ(::fstatfs(tree.fd(), &about), 0);
    return static_cast<unsigned long>(about.f_type) == OVERLAYFS_SUPER_MAGIC;
  }
  base::Status publish_now(SnapshotId id) {
    return store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, id); });
  }
  // Ids of the parents, nearest first.
  std::vector<SnapshotId> parents(SnapshotId id) {
    std::vector<SnapshotId> ids;
    while (const auto parent = must(snapshots().stat(id)).parent) ids.push_back(id = parent);
    return ids;
  }
};

TEST_P(SnapshotterFieldSuite, GetInfoEmptyDB) {
  EXPECT_EQ(code_of(snapshots().stat(SnapshotId(1))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().mount(SnapshotId(1), Access::read_only)), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().usage(SnapshotId(1))), ErrorCode::not_found);
  must(snapshots().walk({}, [](const SnapshotInfo&) -> base::Result<base::lmdb::Scan> {
    ADD_FAILURE() << "there is nothing";
    return base::lmdb::Scan::next;
  }));
}

TEST_P(SnapshotterFieldSuite, GetSnapshot) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("file", "x"); });
  const auto active = prepare(base);
  const auto seen = must(snapshots().view(base, {}));
  EXPECT_EQ(write_to(active).read("file"), "x");
  EXPECT_EQ(view(active).read("file"), "x");
  EXPECT_EQ(view(seen).read("file"), "x");
}

TEST_P(SnapshotterFieldSuite, GetSnapshotNotExist) {
  commit_with(std::nullopt, nothing);
  EXPECT_EQ(code_of(snapshots().stat(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().mount(SnapshotId(4711), Access::read_only)), ErrorCode::not_found);
}

// There, a committed snapshot has no mounts at all; here it can be looked at, and not written to.
TEST_P(SnapshotterFieldSuite, GetSnapshotCommitted) {
  const auto base = commit_with(std::nullopt, nothing);
  EXPECT_EQ(code_of(snapshots().mount(base, Access::read_write)), ErrorCode::invalid_argument);
}

TEST_P(SnapshotterFieldSuite, CreateActive) {
  const auto one = prepare();
  const auto two = prepare();
  const auto base = commit_with(std::nullopt, nothing);
  const auto three = prepare(base);
  const auto four = must(snapshots().view(base, {}));
  EXPECT_LT(one, two);
  EXPECT_LT(two, base);
  EXPECT_LT(base, three);
  EXPECT_LT(three, four);
  EXPECT_EQ(must(snapshots().stat(three)).kind, Kind::active);
  EXPECT_EQ(must(snapshots().stat(four)).kind, Kind::view);
}

TEST_P(SnapshotterFieldSuite, CreateActiveNotExist) {
  EXPECT_EQ(code_of(snapshots().prepare(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().view(SnapshotId(4711), {})), ErrorCode::not_found);
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_P(SnapshotterFieldSuite, CreateActiveFromActive) {
  const auto active = prepare();
  EXPECT_EQ(code_of(snapshots().prepare(active)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(snapshots().view(active, {})), ErrorCode::invalid_argument);
}

TEST_P(SnapshotterFieldSuite, Commit) {
  const auto base = commit_with(std::nullopt, nothing);
  const auto child = commit_with(base, nothing);
  EXPECT_EQ(must(snapshots().stat(base)).kind, Kind::committed);
  EXPECT_EQ(must(snapshots().stat(child)).parent, base);
}

TEST_P(SnapshotterFieldSuite, CommitNotExist) {
  EXPECT_EQ(code_of(snapshots().freeze(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(publish_now(SnapshotId(4711))), ErrorCode::not_found);
}

TEST_P(SnapshotterFieldSuite, CommitCommitted) {
  const auto base = commit_with(std::nullopt, nothing);
  EXPECT_EQ(code_of(snapshots().freeze(base)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(publish_now(base)), ErrorCode::not_found) << "no frozen one has this id";
}

TEST_P(SnapshotterFieldSuite, CommitViewFails) {
  const auto seen = must(snapshots().view(commit_with(std::nullopt, nothing), {}));
  EXPECT_EQ(code_of(snapshots().freeze(seen)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(publish_now(seen)), ErrorCode::invalid_argument);
}

TEST_P(SnapshotterFieldSuite, RemoveNotExist) {
  EXPECT_EQ(code_of(retire(SnapshotId(4711))), ErrorCode::not_found);
  EXPECT_EQ(code_of(snapshots().abandon(SnapshotId(4711))), ErrorCode::not_found);
}

TEST_P(SnapshotterFieldSuite, RemoveWithChildren) {
  const auto base = commit_with(std::nullopt, nothing);
  std::vector<SnapshotId> children = {prepare(base), must(snapshots().view(base, {})), freeze_with(base, nothing)};
  for (const auto child : children) {
    EXPECT_EQ(code_of(retire(base)), ErrorCode::invalid_argument);
    must(snapshots().abandon(child));
  }
  const auto last = commit_with(base, nothing);
  EXPECT_EQ(code_of(retire(base)), ErrorCode::invalid_argument);
  must(retire(last));
  must(retire(base));
}

TEST_P(SnapshotterFieldSuite, ParentIDs) {
  const auto a = commit_with(std::nullopt, nothing);
  const auto b = commit_with(a, nothing);
  const auto c = commit_with(b, nothing);
  EXPECT_THAT(parents(prepare(c)), ElementsAre(c, b, a));
  EXPECT_THAT(parents(must(snapshots().view(c, {}))), ElementsAre(c, b, a));
  EXPECT_THAT(parents(a), IsEmpty());
}

TEST_P(SnapshotterFieldSuite, Mounts) {
  const auto base = prepare();
  EXPECT_FALSE(is_overlay(write_to(base))) << "a tree without parent is mounted as it is";
}

TEST_P(SnapshotterFieldSuite, OverlayMount) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("below", "x"); });
  const auto child = prepare(base);
  Tree tree = write_to(child);
  EXPECT_EQ(is_overlay(tree), stacks());
  tree.write("above", "y");
  const auto upper = root_ / ("trees/" + std::to_string(child.value()) + "/fs");
  EXPECT_EQ(must(base::read_file(upper / "above", 10)), "y");
  if (stacks()) {
    EXPECT_EQ(code_of(base::read_file(upper / "below", 10)), ErrorCode::not_found);
  }
}

TEST_P(SnapshotterFieldSuite, OverlayRead) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("below", "x"); });
  const auto child = prepare(base);
  write_to(child).write("above", "y");
  Tree tree = write_to(child);
  EXPECT_EQ(tree.read("below"), "x");
  EXPECT_EQ(tree.read("above"), "y");
}

TEST_P(SnapshotterFieldSuite, View) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) { tree.write("below", "x"); });
  const auto upper = commit_with(base, [](Tree& tree) { tree.write("above", "y"); });
  const Tree one = view(must(snapshots().view(base, {})));
  EXPECT_FALSE(is_overlay(one)) << "one layer needs no overlay";
  EXPECT_THAT(one.names(), ElementsAre("below"));
  const Tree two = view(must(snapshots().view(upper, {})));
  EXPECT_EQ(is_overlay(two), stacks());
  EXPECT_THAT(two.names(), ElementsAre("above", "below"));
  for (const auto* tree : {&one, &two}) {
    EXPECT_LT(::openat(tree->fd(), "new", O_WRONLY | O_CREAT, 0644), 0);
    EXPECT_EQ(errno, EROFS);
  }
}

// containerd leaves this one out on overlays, where a directory of a lower layer is not renamed (EXDEV): programs then
// copy. What must be true on every driver is that nothing is lost either way.
TEST_P(SnapshotterFieldSuite, Rename) {
  const auto base = commit_with(std::nullopt, [](Tree& tree) {
    tree.make_dir("dir1");
    tree.write("dir1/f1", "f1");
    tree.make_dir("somefiles");
    tree.write("somefiles/f2", "f2");
  });
  const auto upper = commit_with(base, [&](Tree& tree) {
    const int renamed = ::renameat(tree.fd(), "dir1", tree.fd(), "dir2");
    EXPECT_EQ(renamed == 0 ? 0 : errno, stacks() ? EXDEV : 0);
    if (renamed != 0) {
      tree.make_dir("dir2");
      tree.rename("dir1/f1", "dir2/f1");
      tree.remove("dir1");
    }
    tree.rename("somefiles/f2", "somefiles/f3");
    tree.make_dir("own");
    tree.write("own/file", "x");
    tree.rename("own", "moved");
  });
  const Tree tree = view(upper);
  EXPECT_THAT(tree.names(), ElementsAre("dir2", "moved", "somefiles"));
  EXPECT_EQ(tree.read("dir2/f1"), "f1");
  EXPECT_THAT(tree.names("somefiles"), ElementsAre("f3"));
  EXPECT_EQ(tree.read("moved/file"), "x");
  EXPECT_THAT(view(base).names(), ElementsAre("dir1", "somefiles"));
}

// A merge that stacks copies and links nothing: a file keeps its one link, and no write through the merge reaches it.
TEST_P(SnapshotterFieldSuite, TestHardlinks) {
  const auto one = commit_with(std::nullopt, [](Tree& tree) { tree.write("1", "base"); });
  const auto two = commit_with(std::nullopt, [](Tree& tree) { tree.write("2", "base"); });
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(std::vector{one, two})), ErrorCode::unavailable);
    return;
  }
  const auto merge = must(snapshots().prepare_stack(std::vector{one, two}));
  Tree tree = write_to(merge);
  EXPECT_EQ(tree.stat("1").st_nlink, 1u);
  tree.write("1", "changed");
  tree.chmod("2", 0600);
  EXPECT_EQ(view(one).read("1"), "base");
  EXPECT_EQ(view(two).mode("2"), 0644u);
}

TEST_P(SnapshotterFieldSuite, TraitsAreTrue) {
  const auto parent = commit_with(std::nullopt, [](Tree& tree) { tree.write("f", std::string(1 << 20, 'x')); });
  const auto alone = bytes_on_disk();
  const auto child = prepare(parent);
  EXPECT_EQ(must(snapshots().stat(child)).depth, stacks() ? 2u : 1u);
  const bool costs_nothing = bytes_on_disk() - alone < (1 << 20);
  EXPECT_EQ(costs_nothing, stacks() || shares());
  const auto fs_of = [&](SnapshotId id) {
    return must(base::open_host_dir(root_ / ("trees/" + std::to_string(id.value()) + "/fs")));
  };
  const auto names = must(base::list_dir(fs_of(child).get()));
  EXPECT_EQ(names.empty(), stacks()) << "what stacks has nothing of its parent in its own tree";
  const bool linked = ::linkat(fs_of(parent).get(), "f", fs_of(child).get(), "l", 0) == 0;
  EXPECT_EQ(linked, traits().links);
}

// The merge itself holds its own directories and nothing else.
TEST_P(SnapshotterFieldSuite, TestUsage) {
  const auto file = [](const char* name) { return [name](Tree& tree) { tree.write(name, std::string(4096, 'x')); }; };
  const auto one = commit_with(std::nullopt, file("1"));
  const auto two = commit_with(std::nullopt, file("2"));
  EXPECT_EQ(must(snapshots().usage(one)).logical_bytes, 4096);
  if (!stacks()) {
    EXPECT_EQ(code_of(snapshots().prepare_stack(std::vector{one, two})), ErrorCode::unavailable);
    return;
  }
  const auto merge = must(snapshots().prepare_stack(std::vector{one, two}));
  const auto usage = must(snapshots().freeze(merge));
  EXPECT_EQ(usage.inodes, 2);
  EXPECT_EQ(usage.logical_bytes, 0);
}

// Chains of these depths commit and mount, with a store whose own path alone is 200 bytes long: more than a page of
// names, and more layers than the kernel stacks.
TEST_P(SnapshotterFieldSuite, EveryDepthCommitsAndMounts) {
  const auto deep = root_ / std::string(200, 'p');
  ASSERT_EQ(::mkdir(deep.c_str(), 0755), 0);
  store_.reset();
  store_ = std::make_unique<OpenStore>(deep, GetParam());
  const bool full = std::getenv("CAIRN_TEST_FULL") != nullptr;
  const int last = full ? 2000 : 501;
  std::optional<SnapshotId> top;
  std::vector<SnapshotId> group;
  for (int layer = 1; layer <= last; ++layer) {
    top = freeze_with(top, [&](Tree& tree) {
      tree.write("layer", std::to_string(layer));
      if (layer % 100 == 1) tree.write("file" + std::to_string(layer), std::to_string(layer));
    });
    group.push_back(*top);
    if (layer != 1 && layer != 2 && layer != 199 && layer != 200 && layer < 499 && layer % 100 != 0) continue;
    publish(group);
    group.clear();
    const Tree tree = view(*top);
    EXPECT_EQ(tree.read("layer"), std::to_string(layer));
    EXPECT_EQ(tree.names().size(), 1u + static_cast<unsigned>((layer + 99) / 100)) << layer;
  }
  if (!group.empty()) publish(group);
  store_.reset();
  store_ = std::make_unique<OpenStore>(deep, GetParam());
  const Tree tree = view(*top);
  EXPECT_EQ(tree.read("layer"), std::to_string(last));
  for (int layer = 1; layer <= last; layer += 100) {
    EXPECT_EQ(tree.read("file" + std::to_string(layer)), std::to_string(layer));
  }
}

}  // namespace cairn::snapshot
