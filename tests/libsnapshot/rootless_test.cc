// SPDX-License-Identifier: Apache-2.0
// The overlay driver without any privilege on the machine: the conformance suite in a process that is root only of a user
// namespace of its own, once with a range of ids and once with a single one. Deletion happens in there, too; nothing stays
// behind. Left out are only the cases that make devices (which no user namespace may) or, with one id, other owners.
#include <grp.h>
#include <sched.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#include <fstream>

#include "tests/conformance/snapshotter_suite.h"
#include "tests/support/loop_fs.h"

namespace cairn::snapshot {
namespace {

const std::vector<std::string> drivers = {"overlay"};

TEST(Rootless, TheDriverIsChosenByItself) {
  const auto root = make_root("overlay");
  EXPECT_EQ(OpenStore(root.path(), "").snapshots->driver(), "overlay");
}

TEST(Rootless, MarksAreInUserXattrs) {
  const auto root = make_root("overlay");
  OpenStore store(root.path(), "overlay");
  const auto lower = must(store.snapshots->prepare(std::nullopt));
  {
    Tree tree(must(store.snapshots->mount(lower, Access::read_write)));
    tree.make_dir("d");
    tree.write("d/old", "x");
    tree.write("gone", "x");
  }
  must(store.snapshots->freeze(lower));
  const auto upper = must(store.snapshots->prepare(lower));
  {
    Tree tree(must(store.snapshots->mount(upper, Access::read_write)));
    tree.remove("d");
    tree.make_dir("d");
    tree.remove("gone");
  }
  const auto layer = must(base::open_host_dir(root / "trees" / std::to_string(upper.value()) / "fs"));
  EXPECT_EQ(must(base::list_xattrs_at(layer.get(), "d")).at("user.overlay.opaque"), "y");
  struct ::stat status {};
  ASSERT_EQ(::fstatat(layer.get(), "gone", &status, AT_SYMLINK_NOFOLLOW), 0);
  EXPECT_TRUE(S_ISCHR(status.st_mode));
  EXPECT_EQ(status.st_rdev, 0u);
}

INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterSuite, testing::ValuesIn(drivers),
                         [](const auto& about) { return about.param; });
INSTANTIATE_TEST_SUITE_P(Drivers, SnapshotterStackSuite, testing::ValuesIn(drivers),
                         [](const auto& about) { return about.param; });

// These look at rows, which no privilege changes, and at depth, which takes its time; those of the space suite make trees
// with devices and owners of their own.
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SnapshotterLookSuite);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SnapshotterFieldSuite);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SnapshotterLentSuite);
GTEST_ALLOW_UNINSTANTIATED_PARAMETERIZED_TEST(SnapshotterSpaceSuite);

struct Ids {
  const char* name;
  unsigned first, count;
  const char* filter;
};

bool write_text(const std::string& path, const std::string& text) {
  std::ofstream file(path);
  file << text;
  file.close();
  return file.good();
}

// The life of the process that has no privileges; it becomes root in its namespace when it is told that it has ids.
int run_as(const Ids& ids, const base::HostPath& root, int tell, int told, int count, char** arguments) {
  if (::setgroups(0, nullptr) != 0 || ::setresgid(ids.first, ids.first, ids.first) != 0 ||
      ::setresuid(ids.first, ids.first, ids.first) != 0 || ::prctl(PR_SET_DUMPABLE, 1) != 0 ||
      ::unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) {
    std::perror("enter a user namespace");
    return 1;
  }
  char byte = 0;
  if (::write(tell, &byte, 1) != 1 || ::read(told, &byte, 1) != 1) return 1;
  if (::setresgid(0, 0, 0) != 0 || ::setresuid(0, 0, 0) != 0) {
    std::perror("become root of a user namespace");
    return 1;
  }
  store_places().emplace("overlay", root);
  testing::InitGoogleMock(&count, arguments);
  if (testing::GTEST_FLAG(filter) == "*") testing::GTEST_FLAG(filter) = ids.filter;
  return RUN_ALL_TESTS();
}

// Waits for the process to be in its namespace, and gives it its ids, as newuidmap would.
bool give_ids(pid_t process, const Ids& ids, int tell, int told) {
  char byte = 0;
  const std::string place = "/proc/" + std::to_string(process);
  const std::string map = fmt::format("0 {} {}\n", ids.first, ids.count);
  return ::read(told, &byte, 1) == 1 && write_text(place + "/setgroups", "deny") && write_text(place + "/uid_map", map) &&
         write_text(place + "/gid_map", map) && ::write(tell, &byte, 1) == 1;
}

int run(const Ids& ids, const test::LoopFs& fs, int count, char** arguments) {
  const test::TempDir root(fs.path());
  if (::chown(root.path().c_str(), ids.first, ids.first) != 0) return 1;
  int up[2], down[2];
  if (::pipe2(up, O_CLOEXEC) != 0 || ::pipe2(down, O_CLOEXEC) != 0) return 1;
  std::printf("== in a user namespace with %s\n", ids.name);
  std::fflush(stdout);
  const pid_t process = ::fork();
  if (process == 0) {
    ::prctl(PR_SET_PDEATHSIG, SIGKILL);
    const int outcome = run_as(ids, root.path(), up[1], down[0], count, arguments);
    std::fflush(stdout);
    ::_exit(outcome);
  }
  ::close(up[1]);
  const bool given = give_ids(process, ids, down[1], up[0]);
  ::close(down[1]);
  ::close(up[0]);
  ::close(down[0]);
  int status = 0;
  ::waitpid(process, &status, 0);
  if (!given) std::fprintf(stderr, "the process could not be given its ids\n");
  const auto directory = base::open_host_dir(root.path());
  const auto left = directory ? base::list_dir(directory->get()).value() : std::vector<base::DirEntry>{{"?", 0}};
  for (const auto& entry : left) std::fprintf(stderr, "left behind: %s\n", entry.name.c_str());
  return given && status == 0 && left.empty() ? 0 : 1;
}

}  // namespace
}  // namespace cairn::snapshot

int main(int count, char** arguments) {
  using cairn::snapshot::Ids;
  const Ids range{"65,536 ids", 100000, 65536, "-*MetadataSurvives*"};
  const Ids one{"one id", 54321, 1, "-*MetadataSurvives*:*Chown*:*RootMetadataIsInherited*"};
  const cairn::test::LoopFs fs(cairn::test::FileSystem::ext4);  // in memory, because there are many syncs
  if (::chmod(fs.path().c_str(), 0755) != 0) return 1;
  const int first = cairn::snapshot::run(range, fs, count, arguments);
  const int second = cairn::snapshot::run(one, fs, count, arguments);
  return first != 0 || second != 0 ? 1 : 0;
}
