// SPDX-License-Identifier: Apache-2.0
// What the conformance suite cannot ask of every driver: subvolumes inside subvolumes, what is left of a crash, stores
// that change their driver, and that what is shared is really shared.
#include <linux/btrfs.h>
#include <sys/ioctl.h>

#include <cstring>

#include "tests/conformance/snapshotter_fixture.h"
#include "tests/support/loop_fs.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

std::unique_ptr<test::LoopFs> btrfs, xfs;

void make_subvolume(int directory, const char* name) {
  btrfs_ioctl_vol_args_v2 args{};
  std::strcpy(args.name, name);
  ASSERT_EQ(::ioctl(directory, BTRFS_IOC_SUBVOL_CREATE_V2, &args), 0) << ::strerror(errno);
}

class DriverTest : public testing::Test {
 protected:
  explicit DriverTest(const test::LoopFs& fs = *btrfs) : root_(fs.path()) {}

  void open_with(const std::string& driver) {
    store_.reset();
    store_ = std::make_unique<OpenStore>(root_.path(), driver);
  }
  Snapshotter& snapshots() { return *store_->snapshots; }
  SnapshotId prepare(std::optional<SnapshotId> parent = std::nullopt) { return must(snapshots().prepare(parent)); }
  Tree write_to(SnapshotId id) { return Tree(must(snapshots().mount(id, Access::read_write))); }
  Tree view(SnapshotId id) { return Tree(must(snapshots().mount(id, Access::read_only))); }
  SnapshotId commit(std::optional<SnapshotId> parent, const std::function<void(Tree&)>& change) {
    const auto id = prepare(parent);
    {
      Tree tree = write_to(id);
      change(tree);
    }
    must(snapshots().freeze(id));
    must(store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().publish(txn, id); }));
    snapshots().published(id);
    return id;
  }
  std::vector<std::string> trees_on_disk() {
    std::vector<std::string> names;
    const auto trees = must(base::open_host_dir(root_ / "trees"));
    for (auto& entry : must(base::list_dir(trees.get()))) names.push_back(entry.name);
    return names;
  }
  void retire_and_erase(std::initializer_list<SnapshotId> ids) {
    for (const auto id : ids) {
      must(store_->env->update([&](base::lmdb::WriteTxn& txn) { return snapshots().retire(txn, id); }));
    }
    must(snapshots().erase_trash(*store_->writer, {}));
  }

  test::TempDir root_;
  std::unique_ptr<OpenStore> store_;
};

TEST_F(DriverTest, ASubvolumeInATreeIsRefusedWhenItIsFrozenAndErasedWithIt) {
  open_with("btrfs");
  const auto id = prepare();
  {
    Tree tree = write_to(id);
    tree.make_dir("d");
    const base::Fd d(::openat(tree.fd(), "d", O_RDONLY | O_DIRECTORY));
    make_subvolume(d.get(), "inner");
    tree.write("d/inner/file", "x");
    const base::Fd inner(::openat(d.get(), "inner", O_RDONLY | O_DIRECTORY));
    make_subvolume(inner.get(), "innermost");
    tree.write("d/inner/innermost/file", "x");
  }
  const auto refused = snapshots().freeze(id);
  ASSERT_EQ(code_of(refused), ErrorCode::invalid_argument);
  EXPECT_THAT(refused.error().message, HasSubstr("2 subvolumes"));
  EXPECT_EQ(write_to(id).read("d/inner/innermost/file"), "x") << "it is active as before";
  must(snapshots().abandon(id));
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_F(DriverTest, SubvolumesInTreesOfOtherDriversAreErasedToo) {
  open_with("reflink");
  const auto id = commit(std::nullopt, [](Tree& tree) {
    tree.make_dir("d");
    make_subvolume(base::Fd(::openat(tree.fd(), "d", O_RDONLY | O_DIRECTORY)).get(), "inner");
    tree.write("d/inner/file", "x");
  });
  const auto child = commit(id, [](Tree& tree) { tree.write("d/inner/other", "y"); });
  EXPECT_THAT(view(child).names("d/inner"), ElementsAre("file", "other")) << "in the copy it is a directory";
  retire_and_erase({child, id});
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_F(DriverTest, WhatACrashLeavesInTheMiddleOfAFreezeIsErased) {
  open_with("btrfs");
  const auto kept = commit(std::nullopt, [](Tree& tree) { tree.write("file", "x"); });
  const auto id = prepare(kept);
  const auto tree = must(base::open_host_dir(root_ / "trees" / std::to_string(id.value())));
  ASSERT_EQ(::renameat(tree.get(), "fs", tree.get(), "fs.old"), 0);
  make_subvolume(tree.get(), "fs");
  make_subvolume(tree.get(), "fs.look");
  open_with("btrfs");
  EXPECT_THAT(trees_on_disk(), ElementsAre(std::to_string(kept.value())));
  EXPECT_EQ(view(kept).read("file"), "x");
}

TEST_F(DriverTest, AFrozenSubvolumeCannotBeWrittenToByAnybody) {
  open_with("btrfs");
  const auto id = commit(std::nullopt, [](Tree& tree) { tree.write("file", "x"); });
  const auto direct = must(base::open_host_dir(root_ / "trees" / std::to_string(id.value()) / "fs"));
  EXPECT_EQ(::openat(direct.get(), "file", O_WRONLY), -1);
  EXPECT_EQ(errno, EROFS);
}

TEST_F(DriverTest, AForkOfABigTreeIsMeasuredByWhatIsNewInIt) {
  open_with("btrfs");
  const std::string data(64 * 1024, 'x');
  const auto parent = commit(std::nullopt, [&](Tree& tree) {
    for (int i = 0; i < 20; ++i) tree.write("file" + std::to_string(i), data);
  });
  EXPECT_EQ(must(snapshots().stat(parent)).usage.bytes, 20 * 64 * 1024);
  EXPECT_EQ(must(snapshots().stat(parent)).usage.inodes, 22);
  const auto child = commit(parent, [&](Tree& tree) {
    tree.write("file3", data);  // the same bytes, and yet new blocks
    tree.remove("file4");
    tree.write("new", std::string(4096, 'y'));
    tree.chmod("file5", 0600);
  });
  const auto usage = must(snapshots().stat(child)).usage;
  EXPECT_EQ(usage.bytes, 64 * 1024 + 4096);
  EXPECT_EQ(usage.inodes, 3) << "the tree, its root, and the new file";
  EXPECT_EQ(usage.logical_bytes, 64 * 1024 + 4096 + 64 * 1024) << "what an overlay would hold";
}

TEST_F(DriverTest, EveryDriverReadsWhatTheOthersMadeUnlessItIsStacked) {
  open_with("native");
  const auto native = commit(std::nullopt, [](Tree& tree) { tree.write("n", "n"); });
  open_with("reflink");
  const auto reflink = commit(native, [](Tree& tree) { tree.write("r", "r"); });
  open_with("btrfs");
  const auto on_directory = commit(reflink, [](Tree& tree) { tree.write("b", "b"); });
  const auto on_subvolume = commit(on_directory, [](Tree& tree) { tree.write("c", "c"); });
  EXPECT_THAT(view(on_subvolume).names(), ElementsAre("b", "c", "n", "r"));
  open_with("overlay");
  const auto stacked = commit(on_subvolume, [](Tree& tree) { tree.remove("n"); });
  EXPECT_THAT(view(stacked).names(), ElementsAre("b", "c", "r"));
  for (const auto* driver : {"btrfs", "reflink", "native"}) {
    open_with(driver);
    EXPECT_EQ(code_of(snapshots().mount(stacked, Access::read_only)), ErrorCode::unavailable) << driver;
    EXPECT_EQ(code_of(snapshots().prepare(stacked)), ErrorCode::unavailable) << driver;
    EXPECT_THAT(view(on_subvolume).names(), ElementsAre("b", "c", "n", "r")) << driver;
    const auto child = prepare(on_subvolume);
    write_to(child).write("n", "changed");
    must(snapshots().abandon(child));
    EXPECT_EQ(view(on_subvolume).read("n"), "n") << driver;
  }
  open_with("native");  // erases what all of them made
  retire_and_erase({stacked, on_subvolume, on_directory, reflink, native});
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

class ReflinkTest : public DriverTest {
 protected:
  ReflinkTest() : DriverTest(*xfs) {}
};

TEST_F(ReflinkTest, AForkSharesItsBlocksUntilTheyAreWrittenTo) {
  open_with("reflink");
  const std::string data(1 << 20, 'x');
  const auto parent = commit(std::nullopt, [&](Tree& tree) {
    for (int i = 0; i < 8; ++i) tree.write("file" + std::to_string(i), data);
  });
  test::DiskBytes before;
  before.add(must(base::open_host_dir(root_ / "trees")).get());
  const auto child = commit(parent, [&](Tree& tree) {
    const base::Fd file(::openat(tree.fd(), "file3", O_WRONLY));
    ASSERT_EQ(::pwrite(file.get(), data.data(), 4096, 65536), 4096);
  });
  test::DiskBytes after;
  after.add(must(base::open_host_dir(root_ / "trees")).get());
  EXPECT_LE(after.bytes() - before.bytes(), 64 * 1024);
  const auto usage = must(snapshots().stat(child)).usage;
  EXPECT_GE(usage.bytes, 4096);
  EXPECT_LE(usage.bytes, 64 * 1024);
}

}  // namespace
}  // namespace cairn::snapshot

int main(int count, char** arguments) {
  using cairn::test::LoopFs;
  using cairn::test::FileSystem;
  cairn::snapshot::btrfs = std::make_unique<LoopFs>(FileSystem::btrfs, std::uint64_t{4} << 30, "max_inline=0");
  cairn::snapshot::xfs = std::make_unique<LoopFs>(FileSystem::xfs);
  testing::InitGoogleMock(&count, arguments);
  const int outcome = RUN_ALL_TESTS();
  cairn::snapshot::btrfs.reset();
  cairn::snapshot::xfs.reset();
  return outcome;
}
