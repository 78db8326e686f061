// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/beneath.h"
#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

class MeasureTreeTest : public FsTest {
 protected:
  std::int64_t allocated(std::string_view path) {
    return find_stat_beneath(root(), tree(path)).value()->st_blocks * std::int64_t{512};
  }
  TreeSize measure() {
    const auto size = measure_tree(root());
    EXPECT_TRUE(size) << size.error().message;
    return size.value_or(TreeSize());
  }
};

TEST_F(MeasureTreeTest, counts_blocks_and_inodes_with_the_root) {
  EXPECT_EQ(measure().inodes, 1);
  make_file("a/big", std::string(100'000, 'x'));
  make_file("a/b/small");
  make_link("big", "a/link");
  const TreeSize size = measure();
  EXPECT_EQ(size.inodes, 6);
  EXPECT_EQ(size.bytes, allocated("") + allocated("a") + allocated("a/b") + allocated("a/big") +
                            allocated("a/b/small") + allocated("a/link"));
  EXPECT_GE(size.bytes, 100'000);
}

TEST_F(MeasureTreeTest, hard_links_count_once) {
  make_file("a/file", std::string(100'000, 'x'));
  const TreeSize before = measure();
  for (const char* name : {"b", "c", "a/d"}) ASSERT_EQ(::link(host("a/file").c_str(), host(name).c_str()), 0);
  EXPECT_EQ(measure().inodes, before.inodes);
  EXPECT_EQ(measure().bytes, before.bytes);
}

TEST_F(MeasureTreeTest, holes_are_not_bytes) {
  const Fd fd = open_host(host("sparse"), O_WRONLY | O_CREAT, 0600).value();
  ASSERT_EQ(::ftruncate(fd.get(), 1 << 30), 0);
  EXPECT_LT(measure().bytes, 1 << 20);
}

TEST_F(MeasureTreeTest, leaves_mounts_out) {
  make_file("elsewhere/big", std::string(200'000, 'x'));
  make_file("tree/a/file");
  make_dirs("tree/bind");
  make_dirs("tree/tmpfs");
  with_own_mounts([&] {
    const Fd tree_fd = open_host_dir(host("tree")).value();
    const TreeSize before = measure_tree(tree_fd.get()).value();
    EXPECT_EQ(before.inodes, 5);
    ASSERT_EQ(::mount(host("elsewhere").c_str(), host("tree/bind").c_str(), nullptr, MS_BIND, nullptr), 0);
    ASSERT_EQ(::mount("tmpfs", host("tree/tmpfs").c_str(), "tmpfs", 0, nullptr), 0);
    make_file("tree/tmpfs/big", std::string(200'000, 'x'));
    const TreeSize size = measure_tree(tree_fd.get()).value();
    EXPECT_EQ(size.inodes, 3);  // the two directories that mounts hide are not seen
    EXPECT_LT(size.bytes, 200'000);
  });
}

TEST_F(MeasureTreeTest, tells_why_it_cannot) {
  make_file("file");
  EXPECT_CODE(measure_tree(open_host(host("file"), O_RDONLY).value().get()), ErrorCode::not_found);
  EXPECT_CODE(measure_tree(-1), ErrorCode::io);
}

}  // namespace
}  // namespace cairn::base
