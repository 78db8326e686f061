// SPDX-License-Identifier: Apache-2.0
// The conformance suite of libsnapshot/snapshotter.h, part one: what a tree looks like through forks. Also run by who has
// trees of another kind, over a socket (tests/libserve_containerd). Included by snapshotter_suite.h.
#pragma once

#include <sys/sysmacros.h>

#include "tests/conformance/snapshotter_fixture.h"

namespace cairn::snapshot {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_P(SnapshotterSuite, Basic) {
  const auto first = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("foo", "foo\n");
    tree.make_dir("a");
    tree.write("a/b", "b");
  });
  const auto second = commit_with(first, [](Tree& tree) {
    EXPECT_EQ(tree.read("foo"), "foo\n");
    tree.write("bar", "bar\n");
    tree.remove("a/b");
    tree.write("foo", "changed\n");
  });
  Tree above = view(second);
  EXPECT_THAT(above.names(), ElementsAre("a", "bar", "foo"));
  EXPECT_THAT(above.names("a"), IsEmpty());
  EXPECT_EQ(above.read("foo"), "changed\n");
  Tree below = view(first);
  EXPECT_THAT(below.names(), ElementsAre("a", "foo"));
  EXPECT_EQ(below.read("a/b"), "b");
  EXPECT_EQ(below.read("foo"), "foo\n");
}

TEST_P(SnapshotterSuite, LayerFileupdate) {
  std::optional<SnapshotId> parent;
  const timespec when{.tv_sec = 1'600'000'000, .tv_nsec = 0};
  for (int round = 0; round < 5; ++round) {
    const std::string text = "round " + std::to_string(round);
    parent = commit_with(parent, [&](Tree& tree) {
      if (round > 0) {
        EXPECT_EQ(tree.read("file"), "round " + std::to_string(round - 1));
      }
      // Same size and time each round: only the contents and the mode tell.
      tree.write("file", text);
      tree.chmod("file", 0640 | (round % 2));
      const timespec times[2] = {when, when};
      ASSERT_EQ(::utimensat(tree.fd(), "file", times, 0), 0);
    });
    Tree tree = view(*parent);
    EXPECT_EQ(tree.read("file"), text);
    EXPECT_EQ(tree.mode("file"), 0640u | static_cast<unsigned>(round % 2));
    EXPECT_EQ(tree.stat("file").st_mtim.tv_sec, when.tv_sec);
  }
}

TEST_P(SnapshotterSuite, RemoveDirectoryInLowerLayer) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) {
    tree.make_dir("d");
    tree.write("d/old", "old");
    tree.make_dir("d/sub");
    tree.write("d/sub/deep", "deep");
  });
  const auto upper = commit_with(lower, [](Tree& tree) {
    tree.remove("d");
    tree.make_dir("d");
    tree.write("d/new", "new");
  });
  EXPECT_THAT(view(upper).names("d"), ElementsAre("new"));
  EXPECT_THAT(view(commit_with(upper, nothing)).names("d"), ElementsAre("new"));
  EXPECT_THAT(view(lower).names("d"), ElementsAre("old", "sub"));
}

TEST_P(SnapshotterSuite, Chown) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) {
    tree.make_dir("opt");
    tree.make_dir("opt/a");
    tree.write("opt/a/file", "x");
    tree.chown("opt", 1, 2);
    tree.chown("opt/a", 3, 4);
  });
  const auto upper = commit_with(lower, [](Tree& tree) {
    tree.chown("opt/a/file", 5, 6);
    tree.write("opt/a/other", "y");
  });
  Tree above = view(upper);
  EXPECT_EQ(above.stat("opt/a/file").st_uid, 5u);
  EXPECT_EQ(above.stat("opt/a/file").st_gid, 6u);
  EXPECT_EQ(above.stat("opt/a").st_uid, 3u);
  EXPECT_EQ(above.stat("opt").st_gid, 2u);
  EXPECT_EQ(view(lower).stat("opt/a/file").st_uid, 0u);
}

TEST_P(SnapshotterSuite, DirectoryPermissionOnCommit) {
  const std::vector<mode_t> modes = {0700, 0755, 0777, 01777, 02755, 0000};
  const auto lower = commit_with(std::nullopt, [&](Tree& tree) {
    for (std::size_t i = 0; i < modes.size(); ++i) tree.make_dir("d" + std::to_string(i), modes[i]);
  });
  const auto upper = commit_with(lower, [&](Tree& tree) {
    for (std::size_t i = 0; i < modes.size(); ++i) tree.write("d" + std::to_string(i) + "/file", "x");
    tree.chmod("d1", 0711);
  });
  Tree above = view(upper);
  for (std::size_t i = 0; i < modes.size(); ++i) {
    EXPECT_EQ(above.mode("d" + std::to_string(i)), i == 1 ? 0711u : modes[i]) << i;
  }
  EXPECT_EQ(view(lower).mode("d1"), 0755u);
}

TEST_P(SnapshotterSuite, DeletedFilesInChildSnapshot) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("kept", "1");
    tree.write("removed", "2");
  });
  const auto upper = commit_with(lower, [](Tree& tree) { tree.remove("removed"); });
  EXPECT_THAT(view(upper).names(), ElementsAre("kept"));
  EXPECT_THAT(view(commit_with(upper, nothing)).names(), ElementsAre("kept"));
  EXPECT_THAT(view(lower).names(), ElementsAre("kept", "removed"));
}

TEST_P(SnapshotterSuite, MoveFileFromLowerLayer) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) {
    tree.make_dir("dir1");
    tree.write("dir1/f1", "f1");
    tree.write("dir1/f2", "f2");
    tree.make_dir("dir2");
    tree.write("dir2/f3", "f3");
  });
  const auto upper = commit_with(lower, [](Tree& tree) {
    tree.rename("dir1/f1", "dir2/f1");
    tree.rename("dir1/f2", "dir1/f4");
    tree.link("dir2/f3", "dir1/f3");
  });
  Tree tree = view(upper);
  EXPECT_THAT(tree.names("dir1"), ElementsAre("f3", "f4"));
  EXPECT_THAT(tree.names("dir2"), ElementsAre("f1", "f3"));
  EXPECT_EQ(tree.read("dir2/f1"), "f1");
  EXPECT_EQ(tree.read("dir1/f4"), "f2");
  EXPECT_EQ(tree.stat("dir1/f3").st_ino, tree.stat("dir2/f3").st_ino);
}

TEST_P(SnapshotterSuite, HardLinksSurvive) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) {
    tree.write("a", "same");
    tree.make_dir("d");
    tree.link("a", "d/b");
    tree.link("a", "c");
  });
  const auto upper = commit_with(lower, [](Tree& tree) { tree.write("new", "x"); });
  Tree tree = view(upper);
  EXPECT_EQ(tree.stat("a").st_nlink, 3u);
  EXPECT_EQ(tree.stat("a").st_ino, tree.stat("d/b").st_ino);
  EXPECT_EQ(tree.stat("a").st_ino, tree.stat("c").st_ino);
}

TEST_P(SnapshotterSuite, MetadataSurvives) {
  const timespec times[2] = {{.tv_sec = -5, .tv_nsec = 250'000'000}, {.tv_sec = -7, .tv_nsec = 123'456'789}};
  const auto lower = commit_with(std::nullopt, [&](Tree& tree) {
    tree.write("suid", "x");
    tree.chown("suid", 7, 8);
    tree.chmod("suid", 06755);
    const base::Fd file(::openat(tree.fd(), "suid", O_RDONLY));
    ASSERT_EQ(::fsetxattr(file.get(), "user.note", "hello\0there", 11, 0), 0);
    ASSERT_EQ(::symlinkat("nowhere", tree.fd(), "link"), 0);
    ASSERT_EQ(::mknodat(tree.fd(), "fifo", S_IFIFO | 0600, 0), 0);
    ASSERT_EQ(::mknodat(tree.fd(), "null", S_IFCHR | 0666, makedev(1, 3)), 0);
    const base::Fd sparse(::openat(tree.fd(), "sparse", O_WRONLY | O_CREAT, 0644));
    ASSERT_EQ(::pwrite(sparse.get(), "end", 3, 64 << 20), 3);
    tree.make_dir("dir");
    for (const auto* name : {"suid", "link", "fifo", "dir"}) {
      ASSERT_EQ(::utimensat(tree.fd(), name, times, AT_SYMLINK_NOFOLLOW), 0) << name;
    }
  });
  const auto check = [&](const Tree& tree) {
    EXPECT_EQ(tree.mode("suid"), 06755u);
    EXPECT_EQ(tree.stat("suid").st_uid, 7u);
    for (const auto* name : {"suid", "link", "fifo", "dir"}) {
      EXPECT_EQ(tree.stat(name).st_mtim.tv_sec, -7) << name;
      EXPECT_EQ(tree.stat(name).st_mtim.tv_nsec, 123'456'789) << name;
    }
    const base::Fd file(::openat(tree.fd(), "suid", O_RDONLY));
    EXPECT_EQ(must(base::list_xattrs(file.get())).at("user.note"), std::string("hello\0there", 11));
    EXPECT_TRUE(S_ISLNK(tree.stat("link").st_mode));
    EXPECT_TRUE(S_ISFIFO(tree.stat("fifo").st_mode));
    EXPECT_EQ(tree.stat("null").st_rdev, makedev(1, 3));
    EXPECT_EQ(tree.stat("sparse").st_size, (64 << 20) + 3);
    EXPECT_LT(tree.stat("sparse").st_blocks * 512, 1 << 20);
  };
  check(view(lower));
  check(view(commit_with(lower, [](Tree& tree) { tree.write("other", "x"); })));
}

TEST_P(SnapshotterSuite, DeepDirectoriesSurvive) {
  constexpr int depth = 1500;  // more than descriptors, and far beyond PATH_MAX
  const std::string name(20, 'd');
  const auto lower = commit_with(std::nullopt, [&](Tree& tree) {
    base::Fd current(::openat(tree.fd(), ".", O_RDONLY | O_DIRECTORY));
    for (int i = 0; i < depth; ++i) {
      ASSERT_EQ(::mkdirat(current.get(), name.c_str(), 0755), 0);
      current = base::Fd(::openat(current.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
    }
    ASSERT_EQ(::mkdirat(current.get(), "bottom", 0755), 0);
  });
  const auto upper = commit_with(lower, nothing);
  Tree tree = view(upper);
  base::Fd current(::openat(tree.fd(), ".", O_RDONLY | O_DIRECTORY));
  for (int i = 0; i < depth && current; ++i) {
    current = base::Fd(::openat(current.get(), name.c_str(), O_RDONLY | O_DIRECTORY));
  }
  ASSERT_TRUE(current);
  EXPECT_EQ(::faccessat(current.get(), "bottom", F_OK, 0), 0);
  current.reset();
  tree.drop();
  must(retire(upper));
  must(retire(lower));
  erase_trash();
  EXPECT_THAT(trees_on_disk(), IsEmpty());
}

TEST_P(SnapshotterSuite, ViewReadonly) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) { tree.write("file", "x"); });
  const auto upper = commit_with(lower, [](Tree& tree) { tree.write("file2", "y"); });
  const auto active = prepare(upper);
  for (const auto id : {lower, upper, active}) {
    Tree tree = view(id);
    EXPECT_EQ(::openat(tree.fd(), "new", O_WRONLY | O_CREAT, 0644), -1);
    EXPECT_EQ(errno, EROFS);
    EXPECT_EQ(::openat(tree.fd(), "file", O_WRONLY), -1);
    EXPECT_EQ(errno, EROFS);
    EXPECT_EQ(::unlinkat(tree.fd(), "file", 0), -1);
    EXPECT_EQ(tree.read("file"), "x");
  }
}

TEST_P(SnapshotterSuite, RootPermission) {
  const mode_t before = ::umask(0077);
  const auto empty = commit_with(std::nullopt, nothing);
  ::umask(before);
  const auto root = view(empty).stat(".");
  EXPECT_EQ(root.st_mode & 07777, 0755u);
  EXPECT_EQ(root.st_uid, 0u);
  EXPECT_EQ(root.st_gid, 0u);
}

TEST_P(SnapshotterSuite, RootMetadataIsInherited) {
  const timespec times[2] = {{.tv_sec = 100, .tv_nsec = 1}, {.tv_sec = 200, .tv_nsec = 2}};
  const auto lower = commit_with(std::nullopt, [&](Tree& tree) {
    tree.chown(".", 11, 12);
    tree.chmod(".", 01770);
    ASSERT_EQ(::fsetxattr(tree.fd(), "user.root", "v", 1, 0), 0);
    ASSERT_EQ(::futimens(tree.fd(), times), 0);
  });
  Tree tree = view(commit_with(commit_with(lower, nothing), nothing));
  EXPECT_EQ(tree.stat(".").st_uid, 11u);
  EXPECT_EQ(tree.stat(".").st_gid, 12u);
  EXPECT_EQ(tree.mode("."), 01770u);
  EXPECT_EQ(tree.stat(".").st_mtim.tv_sec, 200);
  EXPECT_EQ(tree.stat(".").st_mtim.tv_nsec, 2);
  EXPECT_EQ(must(base::list_xattrs(tree.fd())).at("user.root"), "v");
}

TEST_P(SnapshotterSuite, SiblingsDoNotSeeEachOther) {
  const auto lower = commit_with(std::nullopt, [](Tree& tree) { tree.write("file", "lower"); });
  const auto left = prepare(lower);
  const auto right = prepare(lower);
  write_to(left).write("file", "left");
  write_to(right).write("file", "right");
  EXPECT_EQ(view(left).read("file"), "left");
  EXPECT_EQ(view(right).read("file"), "right");
  EXPECT_EQ(view(lower).read("file"), "lower");
}

TEST_P(SnapshotterSuite, A128LayersMount) {
  std::optional<SnapshotId> parent;
  for (int i = 0; i < 128; ++i) {
    parent = freeze_with(parent, [&](Tree& tree) { tree.write("file" + std::to_string(i), std::to_string(i)); });
  }
  Tree tree = view(*parent);
  EXPECT_EQ(tree.names().size(), 128u);
  for (int i = 0; i < 128; ++i) EXPECT_EQ(tree.read("file" + std::to_string(i)), std::to_string(i));
}

}  // namespace cairn::snapshot
