// SPDX-License-Identifier: Apache-2.0
#include "libbase/fs/beneath.h"
#include "libbase/fs/host_tree.h"
#include "tests/libbase/fs_fixture.h"

namespace cairn::base {
namespace {

using testing::ElementsAre;

class WriteFileAtomicTest : public FsTest {};

TEST_F(WriteFileAtomicTest, creates_and_replaces) {
  const mode_t umask_before = ::umask(022);
  EXPECT_OK(write_file_atomic(host("file"), "first", Durable::no));
  EXPECT_OK(write_file_atomic(host("secret"), "", Durable::yes, 0600));
  ::umask(umask_before);
  EXPECT_EQ(contents("file"), "first");
  EXPECT_EQ(find_stat_beneath(root(), tree("file")).value()->st_mode & 07777, 0644u);
  EXPECT_EQ(find_stat_beneath(root(), tree("secret")).value()->st_mode & 07777, 0600u);
  EXPECT_OK(write_file_atomic(host("file"), "second, and longer", Durable::yes));
  EXPECT_EQ(contents("file"), "second, and longer");
  EXPECT_THAT(list_host_dir(temp_.path()).value(), ElementsAre("file", "secret"));
}

TEST_F(WriteFileAtomicTest, syncs_only_if_asked) {
  const SyncCounts before = sync_counts();
  EXPECT_OK(write_file_atomic(host("file"), "x", Durable::no));
  EXPECT_EQ(sync_counts().total(), before.total());
  EXPECT_OK(write_file_atomic(host("file"), "x", Durable::yes));
  EXPECT_EQ(sync_counts().fdatasync - before.fdatasync, 1u);
  EXPECT_EQ(sync_counts().fsync - before.fsync, 1u);
}

TEST_F(WriteFileAtomicTest, who_has_the_old_file_open_keeps_it) {
  make_file("file", "old");
  const Fd old = open_host(host("file"), O_RDONLY).value();
  EXPECT_OK(write_file_atomic(host("file"), "new", Durable::no));
  EXPECT_EQ(read_all(old.get(), 100).value(), "old");
}

TEST_F(WriteFileAtomicTest, replaces_a_link_and_not_what_it_names) {
  make_file("target", "kept");
  make_link("target", "link");
  EXPECT_OK(write_file_atomic(host("link"), "new", Durable::no));
  EXPECT_EQ(contents("target"), "kept");
  EXPECT_TRUE(S_ISREG(find_stat_beneath(root(), tree("link")).value()->st_mode));
}

TEST_F(WriteFileAtomicTest, a_full_disk_leaves_the_old_file_and_nothing_else) {
  make_dirs("small");
  with_own_mounts([&] {
    ASSERT_EQ(::mount("tmpfs", host("small").c_str(), "tmpfs", 0, "size=64k"), 0);
    make_file("small/file", "old");
    EXPECT_CODE(write_file_atomic(host("small/file"), std::string(200'000, 'x'), Durable::yes), ErrorCode::no_space);
    EXPECT_EQ(contents("small/file"), "old");
    EXPECT_THAT(list_host_dir(host("small")).value(), ElementsAre("file"));
  });
}

TEST_F(WriteFileAtomicTest, tells_why_it_cannot) {
  make_dirs("dir/full");
  EXPECT_CODE(write_file_atomic(host("none/file"), "x", Durable::no), ErrorCode::not_found);
  EXPECT_CODE(write_file_atomic(host("dir"), "x", Durable::no), ErrorCode::io);  // rename over a directory
  EXPECT_CODE(write_file_atomic(HostPath::parse("/").value(), "x", Durable::no), ErrorCode::invalid_argument);
  EXPECT_CODE(write_file_atomic(host(std::string(256, 'x')), "x", Durable::no), ErrorCode::invalid_argument);
  EXPECT_THAT(list_host_dir(temp_.path()).value(), ElementsAre("dir"));
}

}  // namespace
}  // namespace cairn::base
