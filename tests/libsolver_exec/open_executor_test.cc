// SPDX-License-Identifier: Apache-2.0
// Which runtime is taken.
#include <cstdlib>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/exec/probe.h"
#include "libsolver/executor.h"
#include "tests/support/busybox_root.h"
#include "tests/support/host_state.h"
#include "tests/support/temp_dir.h"

namespace cairn::solver {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

class OpenExecutorTest : public ::testing::Test {
 protected:
  void SetUp() override { ::unsetenv("CAIRN_RUNTIME"); }
  void TearDown() override { ::unsetenv("CAIRN_RUNTIME"); }
  // A program that fails as runtimes do.
  base::HostPath broken_runtime() {
    EXPECT_TRUE(test::put_file(temp_.path(), "broken", "#!/bin/sh\necho this one is broken >&2\nexit 1\n", 0755));
    return temp_ / "broken";
  }
  test::TempDir temp_;
};

TEST_F(OpenExecutorTest, takes_crun_when_it_works) {
  const auto executor = open_executor({"", temp_ / "state"});
  ASSERT_TRUE(executor) << executor.error().message;
  EXPECT_EQ((*executor)->name(), "crun");
  EXPECT_EQ((*executor)->processes_run(), 0u) << "the probe does not count";
  EXPECT_THAT(test::names_in(temp_ / "state"), IsEmpty());
}

TEST_F(OpenExecutorTest, the_environment_names_a_runtime_and_the_option_overrides_it) {
  ::setenv("CAIRN_RUNTIME", "runc", 1);
  const auto by_environment = open_executor({"", temp_ / "state"});
  ASSERT_TRUE(by_environment) << by_environment.error().message;
  EXPECT_EQ((*by_environment)->name(), "runc");
  const auto by_option = open_executor({"crun", temp_ / "state"});
  ASSERT_TRUE(by_option) << by_option.error().message;
  EXPECT_EQ((*by_option)->name(), "crun");
}

TEST_F(OpenExecutorTest, a_runtime_asked_for_that_does_not_work_is_unavailable) {
  for (const std::string& runtime : {std::string("no-such-runtime"), broken_runtime().str()}) {
    const auto executor = open_executor({runtime, temp_ / "state"});
    ASSERT_FALSE(executor);
    EXPECT_EQ(executor.error().code, base::ErrorCode::unavailable);
    EXPECT_THAT(executor.error().message, HasSubstr(runtime));
    EXPECT_THAT(executor.error().hint, HasSubstr("apt-get install crun"));
  }
  EXPECT_THAT(open_executor({broken_runtime().str(), temp_ / "state"}).error().message,
              HasSubstr("this one is broken"));
}

TEST_F(OpenExecutorTest, falls_back_to_runc_when_crun_does_not_work) {
  ASSERT_TRUE(test::put_file(temp_.path(), "path/crun", "#!/bin/sh\nexit 1\n", 0755));
  const std::string path = ::getenv("PATH");
  ::setenv("PATH", ((temp_ / "path").str() + ":" + path).c_str(), 1);
  ::testing::internal::CaptureStderr();
  const auto executor = open_executor({"", temp_ / "state"});
  const std::string said = ::testing::internal::GetCapturedStderr();
  ::setenv("PATH", path.c_str(), 1);
  ASSERT_TRUE(executor) << executor.error().message;
  EXPECT_EQ((*executor)->name(), "runc");
  EXPECT_THAT(said, HasSubstr("runc is used because"));
}

TEST_F(OpenExecutorTest, what_a_dead_engine_left_is_removed) {
  ASSERT_TRUE(test::put_file(temp_.path(), "state/old-step/config.json", "{}"));
  ASSERT_TRUE(test::put_file(temp_.path(), "state/old-step/rootfs/x", ""));
  ASSERT_TRUE(open_executor({"", temp_ / "state"}));
  EXPECT_THAT(test::names_in(temp_ / "state"), IsEmpty());
}

TEST_F(OpenExecutorTest, the_state_directory_is_made) {
  ASSERT_TRUE(open_executor({"", temp_ / "deep/er/state"}));
  ASSERT_TRUE(test::put_file(temp_.path(), "plain", ""));
  EXPECT_FALSE(open_executor({"", temp_ / "plain/state"}));
}

TEST(ProbeTree, is_one_program) {
  const auto tree = make_probe_tree();
  ASSERT_TRUE(tree) << tree.error().message;
  const auto program = base::read_beneath(tree->fd(), *base::TreePath::parse("probe"), 1 << 20);
  ASSERT_TRUE(program);
  EXPECT_LT(program->size(), 200u);
  EXPECT_TRUE(
      program->starts_with("\x7f"
                           "ELF"));
}

}  // namespace
}  // namespace cairn::solver
