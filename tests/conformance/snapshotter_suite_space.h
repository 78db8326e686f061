// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part six: erasing in the background, and the space of it all, which is compared
// with a walk of the disk. Included by snapshotter_suite.h; squashes are in snapshotter_suite_squash.h.
#pragma once

#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include <map>
#include <random>
#include <set>

#include "libbase/crash_watch.h"
#include "libbase/fs/host_tree.h"
#include "tests/conformance/snapshotter_fixture.h"
#include "tests/support/test_seed.h"
#include "tests/support/tree_state.h"

namespace cairn::snapshot {

using base::ErrorCode;
using testing::ElementsAre;
using testing::IsEmpty;

class SnapshotterSpaceSuite : public SnapshotterSuite {
 protected:
  std::string state_of(SnapshotId id) {
    const Tree tree = view(id);
    return must(test::tree_state(tree.fd()));
  }
  SnapshotInfo stat(SnapshotId id) { return must(snapshots().stat(id)); }

  // A chain in which each layer does something that a flat copy can get wrong.
  std::vector<SnapshotId> make_chain(int depth) {
    std::vector<SnapshotId> chain;
    for (int i = 0; i < depth; ++i) {
      const auto parent = chain.empty() ? std::nullopt : std::optional(chain.back());
      chain.push_back(freeze_with(parent, [&](Tree& tree) { change(tree, i); }));
    }
    publish(chain);
    return chain;
  }
  static void change(Tree& tree, int layer) {
    const auto name = [](const char* what, int number) { return what + std::to_string(number); };
    tree.write(name("file", layer), name("text ", layer));
    if (layer == 0) {
      for (int i = 0; i < 4; ++i) {
        tree.make_dir(name("dir", i));
        tree.write(name("dir", i) + "/kept", "kept");
        tree.write(name("dir", i) + "/gone", "gone");
      }
      tree.link("file0", "dir0/link");
      ASSERT_EQ(::symlinkat("../file0", tree.fd(), "dir1/symlink"), 0);
      ASSERT_EQ(::mknodat(tree.fd(), "null", S_IFCHR | 0640, makedev(1, 3)), 0);
      ASSERT_EQ(::mknodat(tree.fd(), "fifo", S_IFIFO | 0600, 0), 0);
      const base::Fd sparse(::openat(tree.fd(), "sparse", O_WRONLY | O_CREAT, 0644));
      ASSERT_EQ(::pwrite(sparse.get(), "end", 3, 1 << 20), 3);
      return;
    }
    const auto dir = name("dir", layer % 4);
    switch (layer % 6) {
      case 0: tree.remove(name("file", layer - 1)); break;
      case 1: tree.chmod(name("file", layer - 1), 04750); break;
      case 2: tree.chown(dir, 12, 34); break;
      case 3:  // an opaque directory
        tree.remove(dir);
        tree.make_dir(dir, 0711);
        tree.write(dir + "/kept", name("new ", layer));
        break;
      case 4: {
        const base::Fd file(::openat(tree.fd(), dir.c_str(), O_RDONLY));
        ASSERT_EQ(::fsetxattr(file.get(), "user.layer", &layer, sizeof layer, 0), 0);
        break;
      }
      default: {
        const timespec times[2] = {{1, 2}, {-7 - layer, 123'456'789}};
        ASSERT_EQ(::utimensat(tree.fd(), name("file", layer - 1).c_str(), times, 0), 0);
      }
    }
  }

  // What the disk says: for each tree the space of the inodes that no other tree names, and the space of the rest.
  struct Walked {
    std::map<SnapshotId, Usage> exclusive;
    Usage shared;
  };
  Walked walk_the_disk() {
    struct Inode {
      std::set<SnapshotId> owners;
      Usage usage;
    };
    std::map<ino_t, Inode> inodes;
    Walked walked;
    for (const auto& name : trees_on_disk()) {
      const SnapshotId id(std::stoull(name));
      walked.exclusive[id] = {};
      const auto directory = must(base::open_host_dir(root_ / "trees" / name));
      must(base::measure_tree(directory.get(), [&](const base::TreeEntry& entry) -> base::Status {
        auto& inode = inodes[entry.stat.st_ino];
        inode.owners.insert(id);
        inode.usage = {.bytes = std::int64_t{entry.stat.st_blocks} * 512,
                       .inodes = 1,
                       .logical_bytes = S_ISREG(entry.stat.st_mode) ? std::int64_t{entry.stat.st_size} : 0};
        return {};
      }));
    }
    for (const auto& [number, inode] : inodes) {
      (inode.owners.size() == 1 ? walked.exclusive[*inode.owners.begin()] : walked.shared) += inode.usage;
    }
    return walked;
  }
  void expect_rows_say_what_is_there() {
    if (shares()) {  // whose blocks are a question of extents: only the sum can be seen from outside
      EXPECT_EQ(bytes_in_rows(), bytes_on_disk());
      return;
    }
    const auto walked = walk_the_disk();
    std::map<SnapshotId, Usage> rows;
    must(store_->env->view([&](base::lmdb::ReadTxn& txn) -> base::Status {
      EXPECT_EQ(TRY(shared_usage(txn)), walked.shared);
      TRY(each_snapshot(txn, [&](const SnapshotInfo& info) -> base::Result<base::lmdb::Scan> {
        rows[info.id] = info.exclusive;
        return base::lmdb::Scan::next;
      }));
      return each_trash(txn, [&](SnapshotId id, Usage usage) -> base::Result<base::lmdb::Scan> {
        rows[id] = usage;
        return base::lmdb::Scan::next;
      });
    }));
    EXPECT_EQ(rows.size(), walked.exclusive.size());
    for (const auto& [id, usage] : walked.exclusive) {
      EXPECT_EQ(rows[id].bytes, usage.bytes) << "snapshot " << id.value();
      EXPECT_EQ(rows[id].inodes, usage.inodes) << "snapshot " << id.value();
      EXPECT_EQ(rows[id].logical_bytes, usage.logical_bytes) << "snapshot " << id.value();
    }
  }
};

TEST_P(SnapshotterSpaceSuite, WhatIsAbandonedIsErasedInTheBackground) {
  snapshots().start(*store_->writer);
  const auto parent = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  const auto active = prepare(parent);
  write_to(active).write("b", "2");
  must(snapshots().abandon(active));
  EXPECT_EQ(code_of(snapshots().stat(active)), ErrorCode::not_found) << "gone for its caller at once";
  must(retire(parent));  // nobody keeps it any more
  snapshots().retired(parent);
  snapshots().settle();
  EXPECT_THAT(snapshots().unpublished(), IsEmpty());
  EXPECT_THAT(trees_on_disk(), IsEmpty());
  // What waits to be erased when the work ends is erased by then.
  for (int i = 0; i < 300; ++i) must(snapshots().abandon(prepare()));
  snapshots().stop();
  EXPECT_THAT(trees_on_disk(), IsEmpty());
  must(snapshots().abandon(prepare()));
  EXPECT_THAT(trees_on_disk(), IsEmpty()) << "without that work, too";
}

// What a mount for writing needed beside the tree is no part of it, and nobody waits for its end.
TEST_P(SnapshotterSpaceSuite, WhatFreezingLeavesIsErasedInTheBackground) {
  const auto in_tmp = [&] { return must(base::list_host_dir(root_ / "tmp")); };
  const auto first = commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); });
  commit_with(first, [](Tree& tree) { tree.write("b", "1"); });
  EXPECT_THAT(in_tmp(), IsEmpty()) << "without that work";
  snapshots().start(*store_->writer);
  std::vector<SnapshotId> frozen;
  for (int i = 0; i < 300; ++i) frozen.push_back(freeze_with(first, nothing));
  publish(frozen);
  snapshots().settle();
  EXPECT_THAT(in_tmp(), IsEmpty());
  expect_rows_say_what_is_there();
  must(base::make_host_dirs(root_ / "tmp/of-tree-7-0/work/incompat"));  // as an owner that dies leaves it
  restart();
  EXPECT_THAT(in_tmp(), IsEmpty());
}

TEST_P(SnapshotterSpaceSuite, WhatIsRetiredIsErasedInTheBackground) {
  snapshots().start(*store_->writer);
  const auto chain = make_chain(10);
  const auto kept = commit_with(std::nullopt, [](Tree& tree) { tree.write("kept", "x"); });
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) {
    must(retire(*id));
    snapshots().retired(*id);
  }
  snapshots().settle();
  EXPECT_THAT(trees_on_disk(), ElementsAre(std::to_string(kept.value())));
  expect_rows_say_what_is_there();
}

TEST_P(SnapshotterSpaceSuite, AnErasureGoesOnAtTheNextStart) {
  const auto chain = make_chain(3);
  for (auto id = chain.rbegin(); id != chain.rend(); ++id) must(retire(*id));
  snapshots().stop();  // never started: nothing happens
  snapshots().stop();
  restart();
  EXPECT_EQ(trees_on_disk().size(), 3u);
  snapshots().start(*store_->writer);
  snapshots().settle();
  EXPECT_THAT(trees_on_disk(), IsEmpty());
  EXPECT_EQ(bytes_in_rows(), 0);
}

TEST_P(SnapshotterSpaceSuite, WhatAStoppedErasureLeavesGoesInTheBackground) {
  snapshots().start(*store_->writer);
  snapshots().settle();
  must(retire(commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); })));
  std::stop_source stopped;
  stopped.request_stop();
  EXPECT_EQ(erase_trash(stopped.get_token()), 0);
  snapshots().settle();
  EXPECT_THAT(trees_on_disk(), IsEmpty());
  EXPECT_EQ(bytes_in_rows(), 0);
}

// containerd closes a snapshotter twice.
TEST_P(SnapshotterSpaceSuite, CloseTwice) {
  snapshots().start(*store_->writer);
  snapshots().stop();
  snapshots().stop();
  snapshots().settle();
  EXPECT_EQ(view(commit_with(std::nullopt, [](Tree& tree) { tree.write("a", "1"); })).read("a"), "1");
}

TEST_P(SnapshotterSpaceSuite, LinksThatAreNotedAreCountedOnce) {
  if (!traits().links) return;
  const auto source = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("a", std::string(100'000, 'a'));
    tree.write("b", std::string(50'000, 'b'));
  });
  const auto merge = [&] {
    const auto id = prepare();
    const Tree tree = write_to(id);
    const Tree from = view(source);
    const auto fs = must(base::open_host_dir(root_ / ("trees/" + std::to_string(source.value()) + "/fs")));
    const auto to = must(base::open_host_dir(root_ / ("trees/" + std::to_string(id.value()) + "/fs")));
    EXPECT_EQ(::linkat(fs.get(), "a", to.get(), "a", 0), 0);
    EXPECT_EQ(::linkat(fs.get(), "b", to.get(), "b", 0), 0);
    must(snapshots().note_links(id, std::vector<HardLink>{{from.stat("a").st_ino, source},
                                                          {from.stat("b").st_ino, source},
                                                          {12345678, source}}));
    EXPECT_EQ(::unlinkat(to.get(), "b", 0), 0) << "what went again is not counted";
    return id;
  };
  const auto one = merge();
  const auto two = merge();
  EXPECT_EQ(code_of(snapshots().note_links(SnapshotId(4711), {})), ErrorCode::not_found);
  for (const auto id : {one, two}) must(snapshots().freeze(id));
  EXPECT_EQ(code_of(snapshots().note_links(one, {})), ErrorCode::invalid_argument);
  EXPECT_LT(stat(one).exclusive.bytes, 50'000);
  EXPECT_GT(stat(one).usage.bytes, 100'000);
  publish({one, two});
  expect_rows_say_what_is_there();
  must(retire(source));
  erase_trash();
  expect_rows_say_what_is_there();
  EXPECT_LT(stat(one).exclusive.bytes, 50'000) << "two shares it still";
  must(retire(one));
  erase_trash();
  expect_rows_say_what_is_there();
  EXPECT_GT(stat(two).exclusive.bytes, 100'000) << "now it is two's alone";
  must(retire(two));
  erase_trash();
  EXPECT_EQ(bytes_in_rows(), 0);
}

// Else both would count the inode as their own.
TEST_P(SnapshotterSpaceSuite, WhatIsLinkedToIsPublishedFirstOrNotAtAll) {
  const auto linked_to = [&](SnapshotId source) -> std::optional<SnapshotId> {
    const auto id = prepare();
    const auto fs = must(base::open_host_dir(root_ / ("trees/" + std::to_string(source.value()) + "/fs")));
    const auto to = must(base::open_host_dir(root_ / ("trees/" + std::to_string(id.value()) + "/fs")));
    if (::linkat(fs.get(), "a", to.get(), "a", 0) != 0) {
      EXPECT_FALSE(traits().links) << strerror(errno);
      must(snapshots().abandon(id));
      return std::nullopt;
    }
    must(snapshots().note_links(id, std::vector<HardLink>{{view(source).stat("a").st_ino, source}}));
    must(snapshots().freeze(id));
    return id;
  };
  const auto source = freeze_with(std::nullopt, [](Tree& tree) { tree.write("a", std::string(100'000, 'a')); });
  const auto other = freeze_with(std::nullopt, [](Tree& tree) { tree.write("a", std::string(100'000, 'b')); });
  const auto merge = linked_to(source);
  const auto heir = linked_to(other);
  ASSERT_EQ(merge.has_value(), traits().links);
  if (!merge) return;
  const auto early = store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, *merge); });
  EXPECT_EQ(code_of(early), ErrorCode::invalid_argument);
  publish({source, *merge});
  must(snapshots().abandon(other));
  publish({*heir});
  expect_rows_say_what_is_there();
  EXPECT_GT(stat(*heir).exclusive.bytes, 100'000);
}

// 100 changed files on a parent of 2,000: whatever the parent holds, a commit reads no more than twice what changed, and
// commits of many at once share one data sync and one transaction.
TEST_P(SnapshotterSpaceSuite, ACommitCostsWhatChanged) {
  constexpr int commits = 8, changed = 100, size = 5'000;
  const auto parent = commit_with(std::nullopt, [](Tree& tree) {
    for (int i = 0; i < 2'000; ++i) tree.write("f" + std::to_string(i), std::string(size, 'a'));
  });
  std::vector<SnapshotId> ids;
  for (int i = 0; i < commits; ++i) {
    ids.push_back(prepare(parent));
    Tree tree = write_to(ids.back());
    for (int file = 0; file < changed; ++file) tree.write("f" + std::to_string(file), std::string(size, 'b'));
  }
  const auto bytes_read = [] {
    const auto text = must(base::read_file(must(base::HostPath::parse("/proc/self/io")), 4096));
    return std::stoll(text.substr(text.find("rchar: ") + 7));
  };
  const auto syncs = [] { return base::sync_counts().fdatasync + base::sync_counts().fsync + base::sync_counts().syncfs; };
  const auto read_before = bytes_read();
  const auto syncs_before = syncs();
  const auto groups_before = store_->writer->counts();
  const auto commits_before = store_->env->counts().commits;
  for (const auto id : ids) must(snapshots().freeze(id));
  publish(ids);
  EXPECT_LE(bytes_read() - read_before, 2ll * commits * changed * size);
  const auto groups = store_->writer->counts();
  EXPECT_LE(groups.data_syncs - groups_before.data_syncs, groups.groups - groups_before.groups);
  EXPECT_EQ(store_->env->counts().commits - commits_before, groups.groups - groups_before.groups);
  EXPECT_LT(groups.groups - groups_before.groups, 3u) << "they wait for the last one only";
  if (GetParam() != "btrfs") {  // whose trees are durable when they are frozen
    EXPECT_LE(syncs() - syncs_before, groups.groups - groups_before.groups);
  }
}

// Random forks, links, squashes, retirements and restarts; after each step the rows say what a walk of the disk says.
TEST_P(SnapshotterSpaceSuite, RowsAgreeWithTheDiskWhateverHappens) {
  const auto seed = test::test_seed();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 random(static_cast<std::mt19937::result_type>(seed));
  const auto pick = [&](std::size_t count) { return std::uniform_int_distribution<std::size_t>(0, count - 1)(random); };
  std::vector<SnapshotId> there;
  for (int step = 0; step < 60; ++step) {
    const auto action = pick(10);
    if (there.empty() || action < 5) {
      const auto parent = there.empty() || pick(4) == 0 ? std::nullopt : std::optional(there[pick(there.size())]);
      there.push_back(commit_with(parent, [&](Tree& tree) {
        tree.write("f" + std::to_string(pick(8)), std::string(1 + pick(30'000), 'x'));
        if (tree.exists("f1") && !tree.exists("l")) tree.link("f1", "l");
        if (tree.exists("f3") && pick(2) == 0) tree.remove("f3");
      }));
    } else if (action < 7) {
      must(snapshots().squash(there[pick(there.size())], *store_->writer, {}));
    } else if (action < 9) {
      const auto which = pick(there.size());
      if (retire(there[which])) there.erase(there.begin() + static_cast<std::ptrdiff_t>(which));
      if (pick(2) == 0) erase_trash();
    } else {
      restart();
    }
    if (step % 5 == 4) erase_trash();
    if (step % 5 == 4) expect_rows_say_what_is_there();
    if (testing::Test::HasFailure()) return;
  }
}

}  // namespace cairn::snapshot
