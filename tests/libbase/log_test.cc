// SPDX-License-Identifier: Apache-2.0
#include "libbase/log/log.h"

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

class LogTest : public testing::Test {
 protected:
  void TearDown() override { set_log_level(LogLevel::warning); }

  // What is written to standard error when one line of each level is logged.
  static std::string log_all() {
    testing::internal::CaptureStderr();
    log_debug("value {}", 1);
    log_info("value {}", 2);
    log_warning("value {}", 3);
    log_error("value {}", 4);
    return testing::internal::GetCapturedStderr();
  }
};

TEST_F(LogTest, warnings_and_errors_are_shown_by_default) {
  EXPECT_EQ(log_all(), "cairn: warning: value 3\ncairn: error: value 4\n");
}

TEST_F(LogTest, the_level_decides) {
  set_log_level(LogLevel::debug);
  EXPECT_EQ(log_all(), "cairn: debug: value 1\ncairn: info: value 2\ncairn: warning: value 3\ncairn: error: value 4\n");
  set_log_level(LogLevel::info);
  EXPECT_EQ(log_all(), "cairn: info: value 2\ncairn: warning: value 3\ncairn: error: value 4\n");
  set_log_level(LogLevel::error);
  EXPECT_EQ(log_all(), "cairn: error: value 4\n");
  set_log_level(LogLevel::off);
  EXPECT_EQ(log_all(), "");
}

TEST_F(LogTest, what_is_not_shown_is_not_formatted) {
  EXPECT_FALSE(log_enabled(LogLevel::info));
  EXPECT_TRUE(log_enabled(LogLevel::warning));
  EXPECT_FALSE(log_enabled(LogLevel::off));
}

TEST_F(LogTest, text_is_not_a_format) {
  testing::internal::CaptureStderr();
  write_log(LogLevel::error, "100 % {} %v");
  write_log(LogLevel::info, "hidden");
  write_log(LogLevel::off, "never");
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "cairn: error: 100 % {} %v\n");
}

}  // namespace
}  // namespace cairn::base
