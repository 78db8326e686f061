// SPDX-License-Identifier: Apache-2.0
// ext4 gives a file at most 65,000 names. A layer with more of them fails with an error that names the entry, and what
// can be done about a tree that is full of links is done: a copy of it has them all.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "tests/faults/fault_fixture.h"
#include "tests/libsnapshot/tar_builder.h"
#include "tests/support/must.h"
#include "tests/support/string_source.h"

namespace cairn::test {
namespace {

using snapshot::Access;
using testing::HasSubstr;
using testing::IsEmpty;

constexpr int links_max = 65'000;

TEST(TooManyLinks, FailALayerAndNothingElse) {
  FaultyStore faulty;
  snapshot::TarBuilder tar;
  tar.file("f", "linked");
  for (int i = 1; i < links_max + 5; ++i) tar.hard_link("l" + std::to_string(i), "f");
  const auto applied =
      snapshot::apply_layer(faulty.target_tree, std::make_unique<StringSource>(tar.finish()), {});
  ASSERT_FALSE(applied) << "the file system takes more than " << links_max << " links";
  EXPECT_EQ(applied.error().code, base::ErrorCode::io);
  EXPECT_THAT(applied.error().message, HasSubstr("Too many links"));
  EXPECT_THAT(applied.error().message, HasSubstr("l" + std::to_string(links_max)));
  // What has been applied up to there can go, like any other unfinished tree.
  faulty.target_tree = {};
  const auto abandoned = faulty.snapshots().abandon(faulty.target);
  EXPECT_TRUE(abandoned) << abandoned.error().message;
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

// A frozen tree on the base with the files "full" and "free".
snapshot::SnapshotId freeze_full_and_free(FaultyStore& faulty) {
  const auto full = must(faulty.snapshots().prepare(faulty.base));
  {
    const auto tree = must(faulty.snapshots().mount(full, Access::read_write));
    for (const char* name : {"full", "free"}) {
      const base::Fd file(::openat(tree.fd(), name, O_WRONLY | O_CREAT | O_CLOEXEC, 0640));
      must(base::write_full(file.get(), std::string_view(name)));
    }
  }
  must(faulty.snapshots().freeze(full));
  return full;
}

// Gives "full" of this tree as many names as the file system lets a file have.
void take_all_links(FaultyStore& faulty, snapshot::SnapshotId tree) {
  const std::string names = (faulty.root() / "names").str();
  ASSERT_EQ(::mkdir(names.c_str(), 0700), 0);
  const std::string file = (faulty.root() / fmt::format("trees/{}/fs/full", tree)).str();
  for (int i = 1; i < links_max; ++i) {
    ASSERT_EQ(::link(file.c_str(), fmt::format("{}/{}", names, i).c_str()), 0) << i << ": " << std::strerror(errno);
  }
}

// Each merge that links a file gives it a name more, until the file system takes no more.
TEST(TooManyLinks, MakeAMergeCopy) {
  FaultyStore faulty;
  auto& snapshots = faulty.snapshots();
  const auto full = freeze_full_and_free(faulty);
  ASSERT_NO_FATAL_FAILURE(take_all_links(faulty, full));

  // Siblings are not stacked.
  const std::vector<snapshot::Delta> deltas = {{faulty.leaf, full}};
  const auto merged = snapshot::merge(snapshots, deltas, {.counts = &faulty.merge_counts});
  ASSERT_TRUE(merged) << merged.error().message;
  EXPECT_GT(faulty.merge_counts.linked, 0u);
  EXPECT_GT(faulty.merge_counts.bytes_copied, 0u);
  const auto tree = must(snapshots.mount(*merged, Access::read_only));
  for (const char* name : {"full", "free"}) {
    const base::Fd copy(::openat(tree.fd(), name, O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(copy) << name;
    EXPECT_EQ(must(base::read_all(copy.get(), 100)), name);
    const auto about = must(base::stat_fd(copy.get()));
    EXPECT_EQ(about.st_nlink, std::string(name) == "full" ? 1u : 2u) << name;
    EXPECT_EQ(about.st_mode & 07777u, 0640u) << name;
  }
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

// A flat copy links the files of its layers, and copies what takes no more links.
TEST(TooManyLinks, MakeASquashCopy) {
  FaultyStore faulty;
  auto& snapshots = faulty.snapshots();
  const auto full = freeze_full_and_free(faulty);
  const auto top = must(snapshots.prepare(full));
  must(snapshots.freeze(top));
  ASSERT_NO_FATAL_FAILURE(take_all_links(faulty, full));

  faulty.target_tree = {};  // with nothing mounted a file may be linked, however many names it has
  const auto outcome = snapshots.squash(top, faulty.store().writer(), {});
  ASSERT_TRUE(outcome) << outcome.error().message;
  EXPECT_TRUE(must(snapshots.stat(top)).flattened);
  const auto tree = must(snapshots.mount(top, Access::read_only));
  for (const char* name : {"full", "free"}) {
    const base::Fd copy(::openat(tree.fd(), name, O_RDONLY | O_CLOEXEC));
    ASSERT_TRUE(copy) << name;
    EXPECT_EQ(must(base::read_all(copy.get(), 100)), name);
    EXPECT_EQ(must(base::stat_fd(copy.get())).st_nlink, std::string(name) == "full" ? 1u : 2u) << name;
  }
  EXPECT_THAT(faulty.violations(), IsEmpty());
}

}  // namespace
}  // namespace cairn::test
