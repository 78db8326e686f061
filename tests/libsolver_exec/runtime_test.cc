// SPDX-License-Identifier: Apache-2.0
// What runtimes write into their logs, told apart. The messages are those of crun 1.8 and runc 1.1.
#include "libsolver/exec/runtime.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::solver {
namespace {

using base::ErrorCode;
using ::testing::HasSubstr;

Runtime runtime(const char* name) { return {name, *base::HostPath::parse("/usr/bin/x"), CgroupView::host}; }

std::string line(const std::string& message, const std::string& level = "error") {
  return R"({"msg":")" + message + R"(","level":")" + level + "\"}\n";
}

TEST(RuntimeError, failures_of_the_program_are_invalid_arguments) {
  struct Case {
    std::string message, expected;
  };
  for (const Case& each : {
           Case{"executable file `x` not found in $PATH: No such file or directory", "not found in the step's root"},
           Case{"open executable: Permission denied", "not executable"},
           Case{"open executable: Operation not permitted", "not executable"},
           Case{"exec container process `/x`: Exec format error", "not a program (exec format error)"},
           Case{
               "runc run failed: unable to start container process: exec: \\\"x\\\": stat x: no such file or directory",
               "not found in the step's root"},
           Case{"runc run failed: unable to start container process: exec: \\\"x\\\": permission denied",
                "not executable"},
           Case{"exec /x: exec format error", "not a program (exec format error)"},
       }) {
    const auto error = runtime_error(runtime("crun"), line(each.message), "", "x");
    ASSERT_TRUE(error) << each.message;
    EXPECT_EQ(error->code, ErrorCode::invalid_argument);
    EXPECT_EQ(error->message, "run \"x\": " + each.expected);
    EXPECT_THAT(error->hint, HasSubstr("crun says: "));
  }
}

TEST(RuntimeError, the_last_error_counts_and_other_lines_do_not) {
  EXPECT_EQ(runtime_error(runtime("runc"), "", "", "x"), std::nullopt);
  EXPECT_EQ(runtime_error(runtime("runc"), line("unable to get oom kill count", "warning"), "", "x"), std::nullopt);
  EXPECT_EQ(runtime_error(runtime("runc"), "not json\n[]\n{}\n{\"msg\":1,\"level\":2}\n{\"level\":\"error\"}", "", "x"),
            std::nullopt);
  const auto last = runtime_error(runtime("runc"), line("first") + line("second") + line("third", "info"), "", "x");
  ASSERT_TRUE(last);
  EXPECT_EQ(last->message, "start \"x\" with runc: second");
  EXPECT_EQ(last->code, ErrorCode::io);
}

TEST(RuntimeError, codes_of_other_failures) {
  EXPECT_EQ(runtime_error(runtime("crun"), line("mkdir `a`: No space left on device"), "", "x")->code,
            ErrorCode::no_space);
  EXPECT_EQ(runtime_error(runtime("crun"), line("chdir: Permission denied"), "", "x")->code,
            ErrorCode::invalid_argument);
}

TEST(RuntimeError, a_program_that_the_kernel_refuses_is_told_from_output_alone) {
  const std::string crun_says =
      line("exec container process (missing dynamic library?) `/s`: No such file or directory");
  ASSERT_TRUE(runtime_error(runtime("crun"), "", crun_says, "/s"));
  EXPECT_EQ(runtime_error(runtime("crun"), "", crun_says, "/s")->message,
            "run \"/s\": its interpreter is not in the step's root");
  EXPECT_EQ(runtime_error(runtime("runc"), "", "exec /g: exec format error\n", "/g")->message,
            "run \"/g\": not a program (exec format error)");
  // A program that ran and says something similar has an exit code of its own.
  EXPECT_EQ(runtime_error(runtime("crun"), "", "began\n" + crun_says, "/s"), std::nullopt);
  EXPECT_EQ(runtime_error(runtime("runc"), "", "began\nexec /g: exec format error\n", "/g"), std::nullopt);
  EXPECT_EQ(runtime_error(runtime("crun"), "", "exec /g: exec format error\n", "/g"), std::nullopt);
  EXPECT_EQ(runtime_error(runtime("runc"), "", "sh: exec: /g: not found\n", "/g"), std::nullopt);
}

TEST(FindRuntime, takes_names_and_paths) {
  const auto by_name = find_runtime("crun");
  ASSERT_TRUE(by_name) << by_name.error().message;
  EXPECT_TRUE(by_name->is_crun());
  const auto by_path = find_runtime(by_name->path.str());
  ASSERT_TRUE(by_path);
  EXPECT_EQ(by_path->name, "crun");
  EXPECT_EQ(find_runtime("no-such-runtime").error().code, ErrorCode::unavailable);
  EXPECT_EQ(find_runtime("/no/such/runtime").error().code, ErrorCode::unavailable);
}

}  // namespace
}  // namespace cairn::solver
