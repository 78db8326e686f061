// SPDX-License-Identifier: Apache-2.0
// Which driver a store gets, and what becomes of a store whose driver changes.
#include <cstdlib>

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;

SnapshotId commit(OpenStore& store, std::optional<SnapshotId> parent, const std::string& file) {
  const auto id = must(store.snapshots->prepare(parent));
  Tree(must(store.snapshots->mount(id, Access::read_write))).write(file, file);
  must(store.snapshots->freeze(id));
  must(store.env->update([&](base::lmdb::WriteTxn& txn) { return store.snapshots->publish(txn, id); }));
  store.snapshots->published(id);
  return id;
}

TEST(OpenTest, TakesOverlayWhereItWorksUnlessTheEnvironmentSaysOtherwise) {
  test::TempDir root;
  EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "overlay");
  ASSERT_EQ(::setenv("CAIRN_SNAPSHOTTER", "native", 1), 0);
  EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "native");
  EXPECT_EQ(OpenStore(root.path(), "overlay").snapshots->driver(), "overlay") << "what is asked for wins";
  ::unsetenv("CAIRN_SNAPSHOTTER");
}

TEST(OpenTest, AnUnknownDriverIsUnavailable) {
  test::TempDir root;
  const auto env = must(base::lmdb::Env::open(root / "meta", tables(), {}));
  EXPECT_EQ(code_of(open(root.path(), *env, {.driver = "zfs", .chain_max = 400})), ErrorCode::unavailable);
}

TEST(OpenTest, TheProbeLeavesNothingBehind) {
  test::TempDir root;
  const OpenStore store(root.path(), "");
  const auto scratch = must(base::open_host_dir(root / "tmp"));
  EXPECT_TRUE(must(base::list_dir(scratch.get())).empty());
}

// Where the answers are kept, and what is in it.
base::HostPath answers_of(const test::TempDir& root) { return root / "drivers"; }
std::string answers(const test::TempDir& root) { return must(base::read_file(answers_of(root), 1 << 16)); }

TEST(OpenTest, WhatAProbeFoundIsKeptAndNotTriedAgain) {
  test::TempDir root;
  { const OpenStore store(root.path(), ""); }
  const auto known = answers(root);
  EXPECT_THAT(known, testing::HasSubstr("\noverlay\t\n"));
  // A probe makes its files in tmp/: what leaves the times of that alone has not probed.
  const auto tmp = must(base::open_host_dir(root / "tmp"));
  const ::timespec long_ago[2] = {{.tv_sec = 1'000'000'000, .tv_nsec = 0}, {.tv_sec = 1'000'000'000, .tv_nsec = 0}};
  ASSERT_EQ(::futimens(tmp.get(), long_ago), 0);
  const auto changed = [&] { return must(base::stat_fd(tmp.get())).st_mtim.tv_sec != long_ago[1].tv_sec; };
  { EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "overlay"); }
  { EXPECT_EQ(OpenStore(root.path(), "overlay").snapshots->driver(), "overlay"); }
  EXPECT_EQ(answers(root), known);
  EXPECT_FALSE(changed());
  // Without the answers it does.
  ASSERT_EQ(::unlink(answers_of(root).c_str()), 0);
  { EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "overlay"); }
  EXPECT_TRUE(changed());
}

TEST(OpenTest, AnswersOfAnotherPlaceAndDamagedOnesDoNotCount) {
  test::TempDir root;
  { const OpenStore store(root.path(), ""); }
  const auto known = answers(root);
  std::vector<std::string> useless = {"", "x", "cairn drivers 1\n", known.substr(0, known.size() - 1), known + known};
  for (std::size_t at = 0; at < known.size(); at += 7) {
    useless.push_back(known);
    useless.back()[at] ^= 1;
  }
  for (const auto& bytes : useless) {
    must(base::write_file_atomic(answers_of(root), bytes, base::Durable::no));
    EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "overlay");
    ASSERT_EQ(answers(root), known) << "found out and written anew";
  }
}

TEST(OpenTest, OverlaysOnOverlaysDoNotWorkAndSaySo) {
  // An overlay cannot hold the upper of another one, which is what a store inside a container meets.
  test::TempDir outer;
  OpenStore host(outer.path(), "overlay");
  const auto base = commit(host, std::nullopt, "base");
  const auto id = must(host.snapshots->prepare(base));
  const auto tree = must(host.snapshots->mount(id, Access::read_write));
  const auto inside = must(base::HostPath::parse("/proc/self/fd/" + std::to_string(tree.fd())));
  test::TempDir meta;
  const auto env = must(base::lmdb::Env::open(meta / "meta", tables(), {}));
  EXPECT_EQ(code_of(open(inside, *env, {.driver = "overlay", .chain_max = 400})), ErrorCode::unavailable);
  EXPECT_EQ(must(open(inside, *env, {.driver = "", .chain_max = 400}))->driver(), "native");
}

TEST(OpenTest, ADriverReadsWhatItCanOfAnother) {
  test::TempDir root;
  SnapshotId full, copy, stacked;
  {
    OpenStore store(root.path(), "native");
    full = commit(store, std::nullopt, "a");
    copy = commit(store, full, "b");
  }
  {
    OpenStore store(root.path(), "overlay");  // full copies are not stacked on their parents
    EXPECT_EQ(must(store.snapshots->stat(copy)).depth, 1u);
    stacked = commit(store, copy, "c");
    const Tree tree(must(store.snapshots->mount(stacked, Access::read_only)));
    EXPECT_THAT(tree.names(), testing::ElementsAre("a", "b", "c"));
    EXPECT_EQ(must(store.snapshots->stat(stacked)).depth, 2u);
  }
  OpenStore store(root.path(), "native");
  EXPECT_EQ(code_of(store.snapshots->mount(stacked, Access::read_only)), ErrorCode::unavailable);
  EXPECT_EQ(code_of(store.snapshots->prepare(stacked)), ErrorCode::unavailable);
  EXPECT_EQ(Tree(must(store.snapshots->mount(copy, Access::read_only))).read("b"), "b");
  EXPECT_TRUE(store.snapshots->unpublished().empty()) << "a failed prepare leaves nothing";
}

}  // namespace
}  // namespace cairn::snapshot
