// SPDX-License-Identifier: Apache-2.0
// Directories below trees/ and rows of records that do not know each other, in a store that is in use.
#include <sys/stat.h>

#include <thread>

#include "libbase/fs/host_tree.h"
#include "tests/libcache/store_fixture.h"

namespace cairn::cache {
namespace {

using base::HostPath;

bool exists(const HostPath& path) { return must(base::host_exists(path)); }

void put_file(const HostPath& directory, std::size_t size) {
  must(base::make_host_dirs(directory));
  must(base::write_file_atomic(directory / "file", std::string(size, 's'), base::Durable::no));
}

TEST(RepairTrees, DirectoriesThatNoRowNamesGoThroughTheTrash) {
  OpenStore store;
  ImmutableRef kept = store.make({}, "kept", key(1));
  put_file(store.root() / "trees/5000000/fs", 1 << 20);
  put_file(store.root() / "trees/5000001/fs/deep", 10);
  EXPECT_EQ(store.findings(), (std::vector<std::string>{"I9 trees/5000000: no row names it", "I9 trees/5000001: no row names it"}));
  const TreeRepair repair = must(store.cache->repair_trees());
  EXPECT_EQ(repair.stray_trees, 2u);
  EXPECT_GE(repair.freed_bytes, 1 << 20);
  EXPECT_EQ(repair.missing_trees, 0u);
  EXPECT_FALSE(exists(store.root() / "trees/5000000"));
  EXPECT_FALSE(exists(store.root() / "trees/5000001"));
  EXPECT_EQ(store.read(kept, "kept"), "bytes of kept");
  EXPECT_EQ(store.findings(), std::vector<std::string>());
  EXPECT_EQ(must(store.cache->repair_trees()).stray_trees, 0u);
}

TEST(RepairTrees, WhatHasNoTreesNameIsLeftAlone) {
  OpenStore store;
  for (const char* name : {"007", "0", "-3", "12a", "x", "18446744073709551616"}) put_file(store.root() / "trees" / name, 1);
  must(base::write_file_atomic(store.root() / "trees/5000000", "no directory", base::Durable::no));
  EXPECT_EQ(must(store.cache->repair_trees()).stray_trees, 0u);
  for (const char* name : {"007/file", "0/file", "-3/file", "12a/file", "x/file", "18446744073709551616/file", "5000000"})
    EXPECT_TRUE(exists(store.root() / "trees" / name)) << name;
}

TEST(RepairTrees, WhatTheOwnerWorksOnIsNoStray) {
  OpenStore store;
  ImmutableRef parent = store.make({}, "parent", key(1));
  MutableRef active = must(store.cache->create(parent));
  Publication publication;
  const ImmutableRef frozen = store.commit(publication, parent, "frozen", "bytes");
  put_file(store.root() / "trees/5000000/fs", 10);
  EXPECT_EQ(must(store.cache->repair_trees()).stray_trees, 1u);
  {
    const auto mount = must(active.mount(snapshot::Access::read_write));
    EXPECT_EQ(must(base::read_beneath(mount.fd(), must(base::TreePath::parse("parent")), 100)), "bytes of parent");
  }
  publication.add_result(key(2), frozen);
  publication.add_result(key(3), must(std::move(active).commit(publication, {.description = "active", .chain = {}})));
  must(store.writer->wait_durable(must(store.cache->publish(std::move(publication)))));
  EXPECT_EQ(store.read(frozen, "frozen"), "bytes");
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

TEST(RepairTrees, NothingIsTakenFromThoseWhoWorkMeanwhile) {
  OpenStore store;
  ImmutableRef base = store.make({}, "base");
  constexpr int builds = 25;
  std::atomic<bool> working{true};
  std::thread builder([&] {
    for (int i = 0; i < builds; ++i) {
      { const MutableRef abandoned = must(store.cache->create(base)); }
      store.make(base, "file" + std::to_string(i), key(i));
      if (i % 7 == 0) must(store.cache->prune({}));
    }
    working = false;
  });
  std::uint64_t planted = 0, found = 0;
  while (working) {
    put_file(store.root() / fmt::format("trees/{}/fs", 5'000'000 + planted++), 10);
    found += must(store.cache->repair_trees()).stray_trees;
  }
  builder.join();
  EXPECT_EQ(found, planted);
  for (int i = 0; i < builds; ++i) {
    const auto ids = store.results(key(i));
    ASSERT_EQ(ids.size(), 1u) << i;
    EXPECT_EQ(store.read(must(store.cache->find(ids.front())).value(), "file" + std::to_string(i)), "bytes of file" + std::to_string(i));
  }
  EXPECT_EQ(must(store.cache->damaged_records()), 0u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

TEST(RepairTrees, ARecordWithoutItsDirectoryIsAMissWithWhatIsBuiltOnIt) {
  OpenStore store;
  {
    ImmutableRef base = store.make({}, "base", key(1));
    ImmutableRef child = store.make(base, "child", key(2));
    ImmutableRef beside = store.make({}, "beside", key(3));
    must(base::remove_host_tree(store.root() / fmt::format("trees/{}", base.snapshot())));
    EXPECT_EQ(store.findings().size(), 1u);
    const TreeRepair repair = must(store.cache->repair_trees());
    EXPECT_EQ(repair.missing_trees, 1u);
    EXPECT_EQ(repair.quarantined_records, 2u);
  }
  EXPECT_TRUE(store.results(key(1)).empty());
  EXPECT_TRUE(store.results(key(2)).empty());
  EXPECT_EQ(store.results(key(3)).size(), 1u);
  EXPECT_EQ(store.findings(), std::vector<std::string>()) << "known and quarantined";
  EXPECT_EQ(must(store.cache->repair_trees()).missing_trees, 0u);
  EXPECT_EQ(must(store.cache->prune({})).records.size(), 2u);
  EXPECT_EQ(store.findings(), std::vector<std::string>());
}

}  // namespace
}  // namespace cairn::cache
