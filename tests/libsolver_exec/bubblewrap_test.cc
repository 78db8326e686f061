// SPDX-License-Identifier: Apache-2.0
// What bubblewrap does other than an OCI runtime, and for whom it is there: users without privileges.
#include "libsolver/exec/bubblewrap.h"

#include <signal.h>
#include <sys/stat.h>
#include <unistd.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/e2e/program.h"
#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class BubblewrapTest : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(test::make_busybox_root(root_));
    auto opened = open_executor({"bubblewrap", temp_ / "state"});
    ASSERT_TRUE(opened) << opened.error().message;
    executor_ = std::move(*opened);
  }
  base::Result<ExecExit> run(const std::string& script, std::vector<std::string> tmpfs = {}) {
    auto tree = test::mount_tree(root_);
    EXPECT_TRUE(tree) << tree.error().message;
    ExecRequest request;
    request.id = "step";
    request.args = {"sh", "-c", script};
    request.network = NetworkMode::host;
    request.mounts.emplace_back();
    request.mounts.back().dest = "/";
    request.mounts.back().tree = &*tree;
    for (const std::string& dest : tmpfs) {
      request.mounts.emplace_back();
      request.mounts.back().dest = dest;
    }
    said_.clear();
    return executor_->run(request, [this](Stream, std::string_view text) { said_ += text; }, {});
  }

  test::TempDir temp_;
  const base::HostPath root_ = temp_ / "root";
  std::unique_ptr<Executor> executor_;
  std::string said_;
};

TEST_F(BubblewrapTest, mounts_over_all_of_dev_or_proc_are_not_supported) {
  for (const std::string dest : {"/dev", "/proc"}) {
    const auto exit = run("true", {dest});
    ASSERT_FALSE(exit);
    EXPECT_EQ(exit.error().code, base::ErrorCode::unavailable);
    EXPECT_THAT(exit.error().message, HasSubstr("not supported: a mount at " + dest + " by bubblewrap"));
  }
  EXPECT_EQ(executor_->processes_run(), 0u);
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "tmp"));
  EXPECT_TRUE(run("touch /dev/pts/x", {"/dev/pts"})) << "a part of them can be";
}

TEST_F(BubblewrapTest, set_id_programs_gain_nothing) {
  ASSERT_TRUE(run("grep NoNewPrivs /proc/self/status"));
  EXPECT_EQ(said_, "NoNewPrivs:\t1\n");
}

TEST_F(BubblewrapTest, a_program_cannot_pass_for_the_sandbox_s_own_failure) {
  const auto exit = run("echo 'bwrap: execvp nothing: No such file or directory' >&2; exit 1");
  ASSERT_TRUE(exit) << exit.error().message;
  EXPECT_EQ(exit->code, 1);
  // Nothing of what the first program was told, and of how it answers, is left for the step.
  ASSERT_TRUE(run("echo /proc/self/fd/*; cat /proc/1/cmdline | tr '\\0' ' '"));
  EXPECT_THAT(said_, HasSubstr("/proc/self/fd/0 /proc/self/fd/1 /proc/self/fd/2 /proc/self/fd/3\nsh -c echo"));
}

TEST_F(BubblewrapTest, what_bubblewrap_says_is_the_error_when_it_makes_no_sandbox) {
  ASSERT_TRUE(test::put_file(temp_.path(), "bin/bwrap",
                             "#!/bin/sh\necho 'bwrap: No permissions to create a namespace' >&2\nexit 1\n", 0755));
  const std::string path = ::getenv("PATH");
  ASSERT_EQ(::setenv("PATH", ((temp_ / "bin").str() + ":" + path).c_str(), 1), 0);
  const auto opened = open_executor({"bubblewrap", temp_ / "other"});
  ASSERT_EQ(::setenv("PATH", path.c_str(), 1), 0);
  ASSERT_FALSE(opened);
  EXPECT_EQ(opened.error().code, base::ErrorCode::unavailable);
  EXPECT_THAT(opened.error().message, HasSubstr("start \"/probe\" with bubblewrap: bwrap: No permissions to create a namespace"));
}

TEST_F(BubblewrapTest, a_killed_engine_takes_its_step_with_it) {
  ASSERT_EQ(::setenv("CAIRN_RUNTIME", "bubblewrap", 1), 0);
  test::Program engine(temp_.path(), {CAIRN_BIN_DIR "/cairn_exec_engine", root_.str(), (temp_ / "engine").str(), "sh", "-c",
                                      "setsid sleep 100035 & sleep 100036"});
  const bool running = test::eventually(
      [] { return test::find_process("100035").has_value() && test::find_process("100036").has_value(); });
  engine.signal(SIGKILL);
  engine.wait();
  ASSERT_EQ(::unsetenv("CAIRN_RUNTIME"), 0);
  EXPECT_TRUE(running);
  EXPECT_TRUE(test::eventually(
      [] { return !test::find_process("100035").has_value() && !test::find_process("100036").has_value(); }));
}

// An engine without any privilege, in a user and a mount namespace of its own.
class Unprivileged : public ::testing::Test {
 protected:
  static constexpr unsigned user = 4242;

  void SetUp() override {
    ASSERT_TRUE(test::make_busybox_root(root_));
    ASSERT_EQ(test::run_program(temp_.path(), {"chown", "-R", std::to_string(user), temp_.path().str()}).code, 0);
    // A program that this user may read, wherever the build is.
    ASSERT_TRUE(test::put_file(temp_.path(), "engine", test::read_text(CAIRN_BIN_DIR "/cairn_exec_engine"), 0755));
  }
  test::Ended run(const std::string& script, const std::string& runtime = "auto") {
    return test::run_program(
        temp_.path(), {"setpriv", "--reuid=4242", "--regid=4242", "--clear-groups", "env", "CAIRN_RUNTIME=" + runtime, "unshare", "--user",
                       "--map-root-user", "--mount", (temp_ / "engine").str(), root_.str(), (temp_ / "state").str(), "sh", "-c", script});
  }
  test::TempDir temp_;
  const base::HostPath root_ = temp_ / "root";
};

TEST_F(Unprivileged, bubblewrap_is_taken_and_its_steps_are_root_to_themselves) {
  // The usual root is in a second group, which this user namespace cannot have.
  ASSERT_TRUE(test::put_file(root_, "etc/group", "root:x:0:\n"));
  const test::Ended ended = run("echo $(id -u) $(hostname) $$; touch /made; ls /dev/shm /sys/class/net | grep -c lo; mkdir /m; "
                                "mount -t tmpfs t /m 2> /dev/null || echo no mount; exit 7");
  EXPECT_EQ(ended.code, 7) << ended.err;
  EXPECT_EQ(ended.out, "0 buildkitsandbox 1\n1\nno mount\n");
  EXPECT_THAT(ended.err, HasSubstr("bubblewrap is used because"));
  struct ::stat made {};
  ASSERT_EQ(::stat((root_ / "made").c_str(), &made), 0);
  EXPECT_EQ(made.st_uid, user);
  EXPECT_THAT(test::names_in(temp_ / "state"), IsEmpty());
  EXPECT_THAT(test::names_in(root_), ::testing::ElementsAre("bin", "etc", "m", "made", "tmp"));
}

TEST_F(Unprivileged, what_a_namespace_of_one_user_cannot_have_is_said) {
  const test::Ended ended = run("true", "bubblewrap");
  EXPECT_EQ(ended.code, 1);
  EXPECT_THAT(ended.err, HasSubstr("not supported: more groups than one in this user namespace, by bubblewrap"));
}

}  // namespace
}  // namespace cairn::solver
