// SPDX-License-Identifier: Apache-2.0
// What must be gone when a run is over, and when an engine dies.
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/exec/oci_sandbox.h"
#include "libsolver/exec/step_executor.h"
#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

ExecRequest request_on(const snapshot::MountedTree& tree, std::vector<std::string> args) {
  ExecRequest request;
  request.id = "step";
  request.args = std::move(args);
  request.network = NetworkMode::host;
  request.mounts.emplace_back();
  request.mounts.back().dest = "/";
  request.mounts.back().tree = &tree;
  return request;
}

void no_output(Stream, std::string_view) {}

TEST(Lifetime, a_killed_engine_takes_its_step_with_it) {
  const test::TempDir temp;
  ASSERT_TRUE(test::make_busybox_root(temp / "root"));
  const std::string program = CAIRN_BIN_DIR "/cairn_exec_engine", root = (temp / "root").str(),
                    state = (temp / "state").str();
  const char* arguments[] = {
      program.c_str(), root.c_str(), state.c_str(), "sh", "-c", "setsid sleep 100025 & sleep 100026", nullptr};
  ::pid_t engine = 0;
  ASSERT_EQ(::posix_spawn(&engine, program.c_str(), nullptr, nullptr, const_cast<char* const*>(arguments), environ), 0);
  const bool running = test::eventually(
      [] { return test::find_process("100025").has_value() && test::find_process("100026").has_value(); });
  ASSERT_EQ(::kill(engine, SIGKILL), 0);
  ASSERT_EQ(::waitpid(engine, nullptr, 0), engine);
  EXPECT_TRUE(running);
  EXPECT_TRUE(test::eventually(
      [] { return !test::find_process("100025").has_value() && !test::find_process("100026").has_value(); }));
}

// A snapshotter freezes a tree right after the run; a reference that some namespace still holds would make that fail.
TEST(Lifetime, nothing_holds_a_tree_after_its_run) {
  const test::TempDir temp;
  const base::HostPath disk = temp / "disk";
  ASSERT_EQ(::mkdir(disk.c_str(), 0755), 0);
  auto executor = open_executor({"", temp / "state"});
  ASSERT_TRUE(executor) << executor.error().message;
  for (int round = 0; round < 10; ++round) {
    ASSERT_EQ(::mount("tmpfs", disk.c_str(), "tmpfs", 0, nullptr), 0);
    ASSERT_TRUE(test::make_busybox_root(disk / "lower"));
    for (const char* dir : {"upper", "work"}) ASSERT_EQ(::mkdir((disk / dir).c_str(), 0755), 0);
    {
      const base::Fd context(::fsopen("overlay", FSOPEN_CLOEXEC));
      for (const auto& [key, dir] : {std::pair("lowerdir", "lower"), {"upperdir", "upper"}, {"workdir", "work"}}) {
        ASSERT_EQ(::fsconfig(context.get(), FSCONFIG_SET_STRING, key, (disk / dir).c_str(), 0), 0);
      }
      ASSERT_EQ(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), 0);
      const snapshot::MountedTree tree(base::Fd(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0)));
      const auto exit = (*executor)->run(request_on(tree, {"sh", "-c", "echo x > /new; sleep 1000 &"}), no_output, {});
      ASSERT_TRUE(exit) << exit.error().message;
      EXPECT_EQ(exit->code, 0);
    }
    ASSERT_EQ(::umount(disk.c_str()), 0) << std::strerror(errno);
  }
}

TEST(Lifetime, descriptors_are_not_leaked_to_steps_or_kept) {
  const test::TempDir temp;
  ASSERT_TRUE(test::make_busybox_root(temp / "root"));
  const auto tree = test::mount_tree(temp / "root");
  auto executor = open_executor({"", temp / "state"});
  ASSERT_TRUE(executor) << executor.error().message;
  const auto open_count = [] { return test::names_in(*base::HostPath::parse("/proc/self/fd")).size(); };
  std::string listed;
  const auto collect = [&listed](Stream, std::string_view text) { listed += text; };
  // The first makes the place that the next ones are in. (Before Linux 6.15 a tree serves one run.)
  ASSERT_TRUE((*executor)->run(request_on(*test::mount_tree(temp / "root"), {"true"}), collect, {}));
  const std::size_t before = open_count();
  ASSERT_TRUE((*executor)->run(request_on(*tree, {"sh", "-c", "echo /proc/self/fd/*"}), collect, {}));
  // The shell expands the pattern itself, with the directory that it reads open.
  EXPECT_EQ(listed, "/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\n");
  EXPECT_EQ(open_count(), before);
}

TEST(Lifetime, signals_are_as_in_a_fresh_process) {
  const test::TempDir temp;
  ASSERT_TRUE(test::make_busybox_root(temp / "root"));
  const auto tree = test::mount_tree(temp / "root");
  auto executor = open_executor({"", temp / "state"});
  ASSERT_TRUE(executor) << executor.error().message;
  const auto old_handler = ::signal(SIGPIPE, SIG_IGN);
  std::string status;
  const auto collect = [&status](Stream, std::string_view text) { status += text; };
  const auto exit = (*executor)->run(request_on(*tree, {"grep", "^Sig[BI]", "/proc/self/status"}), collect, {});
  ::signal(SIGPIPE, old_handler);
  ASSERT_TRUE(exit) << exit.error().message;
  EXPECT_EQ(status, "SigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n");
}

TEST(Lifetime, without_cloning_a_tree_serves_one_run) {
  const test::TempDir temp;
  ASSERT_TRUE(test::make_busybox_root(temp / "root"));
  ASSERT_TRUE(open_executor({"crun", temp / "state"}));
  auto runtime = find_runtime("crun");
  ASSERT_TRUE(runtime);
  runtime->cgroups = CgroupView::private_v2;
  StepExecutor executor(std::make_shared<OciSandbox>(*runtime), temp / "state", *Spawner::open(), TreeTransfer::attach);
  const auto tree = test::mount_tree(temp / "root");
  EXPECT_TRUE(executor.run(request_on(*tree, {"true"}), no_output, {}));
  const auto again = executor.run(request_on(*tree, {"true"}), no_output, {});
  ASSERT_FALSE(again);
  EXPECT_EQ(again.error().code, base::ErrorCode::unavailable);
  EXPECT_THAT(again.error().hint, ::testing::HasSubstr("6.15"));
}

TEST(Lifetime, a_killed_runc_leaves_no_cgroup) {
  const test::TempDir temp;
  ASSERT_TRUE(test::make_busybox_root(temp / "root"));
  const auto tree = test::mount_tree(temp / "root");
  auto executor = open_executor({"runc", temp / "state"});
  ASSERT_TRUE(executor) << executor.error().message;
  std::stop_source source;
  std::jthread stopper([&source] {
    test::eventually([] { return test::find_process("100027").has_value(); });
    source.request_stop();
  });
  const auto exit = (*executor)->run(request_on(*tree, {"sleep", "100027"}), no_output, source.get_token());
  ASSERT_FALSE(exit);
  EXPECT_EQ(exit.error().code, base::ErrorCode::cancelled);
  const base::Fd context(::fsopen("cgroup2", FSOPEN_CLOEXEC));
  ASSERT_EQ(::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0), 0);
  const base::Fd unified(::fsmount(context.get(), FSMOUNT_CLOEXEC, 0));
  EXPECT_EQ(::faccessat(unified.get(), "cairn/step", F_OK, 0), -1);
}

}  // namespace
}  // namespace cairn::solver
