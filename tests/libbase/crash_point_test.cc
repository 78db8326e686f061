// SPDX-License-Identifier: Apache-2.0
#include "libbase/crash_point.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

#include <gmock/gmock.h>

#include "libbase/fs/fd.h"
#include "libbase/fs/host_tree.h"
#include "tests/support/temp_dir.h"

namespace cairn::base {
namespace {

class CrashPointTest : public testing::Test {
 protected:
  // The wait status of the program with this environment.
  int run(const std::vector<std::string>& environment) {
    const pid_t child = ::fork();
    if (child == 0) {
      std::vector<char*> variables;
      for (const std::string& variable : environment) variables.push_back(const_cast<char*>(variable.c_str()));
      variables.push_back(nullptr);
      const std::string program = CAIRN_BIN_DIR "/crash_point_program";
      char* const arguments[] = {const_cast<char*>(program.c_str()), nullptr};
      ::execve(program.c_str(), arguments, variables.data());
      ::_exit(127);
    }
    int status = 0;
    EXPECT_EQ(::waitpid(child, &status, 0), child);
    return status;
  }
  std::string trace() { return read_file(trace_file_, 1000).value(); }
  std::string trace_variable() const { return "CAIRN_CRASH_TRACE=" + trace_file_.str(); }

  const test::TempDir temp_;
  const HostPath trace_file_ = temp_ / "trace";
};

TEST_F(CrashPointTest, without_the_environment_nothing_happens) {
  EXPECT_EQ(run({}), 0);
  EXPECT_FALSE(host_exists(trace_file_).value());
}

TEST_F(CrashPointTest, the_trace_names_every_pass_and_grows) {
  EXPECT_EQ(run({trace_variable()}), 0);
  EXPECT_EQ(trace(), "test.first 1\ntest.second 1\ntest.first 2\n");
  EXPECT_EQ(run({trace_variable()}), 0);
  EXPECT_EQ(trace(), "test.first 1\ntest.second 1\ntest.first 2\ntest.first 1\ntest.second 1\ntest.first 2\n");
}

TEST_F(CrashPointTest, the_process_dies_at_the_pass_that_is_named) {
  const int status = run({trace_variable(), "CAIRN_CRASH_AT=test.first#2"});
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(trace(), "test.first 1\ntest.second 1\ntest.first 2\n");
}

TEST_F(CrashPointTest, each_name_is_counted_for_itself) {
  const int status = run({trace_variable(), "CAIRN_CRASH_AT=test.second#1"});
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGKILL);
  EXPECT_EQ(trace(), "test.first 1\ntest.second 1\n");
}

TEST_F(CrashPointTest, a_pass_that_never_comes_kills_nobody) {
  EXPECT_EQ(run({"CAIRN_CRASH_AT=test.first#3"}), 0);
  EXPECT_EQ(run({"CAIRN_CRASH_AT=test.other#1"}), 0);
}

TEST_F(CrashPointTest, a_target_that_means_nothing_aborts) {
  for (const char* target : {"test.first", "#1", "test.first#", "test.first#0", "test.first#x", "test.first#1x"}) {
    const int status = run({std::string("CAIRN_CRASH_AT=") + target});
    ASSERT_TRUE(WIFSIGNALED(status)) << target;
    EXPECT_EQ(WTERMSIG(status), SIGABRT) << target;
  }
}

TEST_F(CrashPointTest, a_trace_that_cannot_be_written_aborts) {
  const int status = run({"CAIRN_CRASH_TRACE=" + (temp_ / "no/such/directory").str()});
  ASSERT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGABRT);
}

}  // namespace
}  // namespace cairn::base
