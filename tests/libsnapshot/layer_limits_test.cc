// SPDX-License-Identifier: Apache-2.0
// Layers against the limits of a file system: the number of links, and space.
#include <fcntl.h>

#include "tests/libsnapshot/layer_fixture.h"
#include "tests/support/loop_fs.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using testing::HasSubstr;

base::Result<Applied> apply_to(const base::HostPath& directory, const std::string& bytes) {
  return apply_layer(MountedTree(must(base::open_host_dir(directory))), layer_source(bytes), {});
}

std::string many_links(int count) {
  TarBuilder builder;
  builder.file("first", "x");
  for (int i = 0; i < count; ++i) builder.hard_link("link" + std::to_string(i), "first");
  return builder.finish();
}

// ext4 knows 65,000 names of a file, XFS 2^31.
TEST(LayerLimits, MoreThan65536LinksAreRightOrNamed) {
  const std::string tar = many_links(65'600);
  {
    const test::LoopFs xfs(test::FileSystem::xfs);
    ASSERT_TRUE(apply_to(xfs.path(), tar));
    const Tree tree(MountedTree(must(base::open_host_dir(xfs.path()))));
    EXPECT_EQ(tree.stat("first").st_nlink, 65'601u);
    EXPECT_EQ(tree.stat("link65599").st_ino, tree.stat("first").st_ino);
  }
  const test::LoopFs ext4(test::FileSystem::ext4);
  const auto refused = apply_to(ext4.path(), tar);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::io);
  EXPECT_THAT(refused.error().message, HasSubstr("link64999"));
  EXPECT_THAT(refused.error().message, HasSubstr("Too many links"));
}

TEST(LayerLimits, AFullFileSystemIsNoSpace) {
  const test::LoopFs small(test::FileSystem::ext4, 16 << 20);
  const auto refused = apply_to(small.path(), TarBuilder().file("small", "x").file("large", std::string(40 << 20, 'x')).finish());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::no_space);
  EXPECT_THAT(refused.error().message, HasSubstr("large"));
}

// The thread that reads and the one that extracts end when no descriptor is left.
TEST(LayerLimits, NoDescriptorsLeftIsAnErrorThatNamesTheMember) {
  const test::TempDir directory;
  const base::Fd root = must(base::open_host_dir(directory.path()));
  std::vector<base::Fd> taken;
  const auto tar = TarBuilder().file("d/f", "x").finish();
  while (true) {
    base::Fd more(::fcntl(root.get(), F_DUPFD_CLOEXEC, 0));
    if (!more) break;
    taken.push_back(std::move(more));
  }
  taken.pop_back();  // for the tree itself
  const auto refused =
      apply_layer(MountedTree(base::Fd(::fcntl(root.get(), F_DUPFD_CLOEXEC, 0))), layer_source(tar), {});
  taken.clear();
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::busy);
  EXPECT_THAT(refused.error().message, HasSubstr("d/f"));
  EXPECT_THAT(refused.error().message, HasSubstr("Too many open files"));
}

}  // namespace
}  // namespace cairn::snapshot
