// SPDX-License-Identifier: Apache-2.0
#include "libbase/result.h"

#include <cerrno>
#include <memory>
#include <set>
#include <vector>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

using testing::HasSubstr;

Result<int> half(int value) {
  if (value % 2 != 0) return fail(ErrorCode::invalid_argument, "{} is odd", value);
  return value / 2;
}
Result<int> quarter(int value) { return half(TRY(half(value), "quarter of {}", value)); }
Status check_even(int value) {
  TRY(half(value));
  return {};
}
Status check_both(int first, int second) {
  TRY(check_even(first));
  TRY(check_even(second), "the second");
  return {};
}
Result<int> eighth_at_once(int value) { return half(TRY(half(TRY(half(value))))); }

TEST(TryTest, gives_the_value) {
  EXPECT_EQ(quarter(12).value(), 3);
  EXPECT_EQ(eighth_at_once(16).value(), 2);
  EXPECT_TRUE(check_both(2, 4));
}

TEST(TryTest, passes_the_error_up_with_its_context) {
  EXPECT_EQ(quarter(3).error().message, "quarter of 3: 3 is odd");
  EXPECT_EQ(quarter(6).error().message, "3 is odd");
  EXPECT_EQ(check_both(1, 2).error().message, "1 is odd");
  EXPECT_EQ(check_both(2, 1).error().message, "the second: 1 is odd");
  EXPECT_EQ(check_both(2, 1).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(eighth_at_once(12).error().message, "3 is odd");
}

TEST(TryTest, moves_what_cannot_be_copied) {
  const auto make = []() -> Result<std::unique_ptr<int>> { return std::make_unique<int>(7); };
  const auto pass = [&]() -> Result<std::unique_ptr<int>> { return TRY(make()); };
  EXPECT_EQ(**pass(), 7);
}

TEST(ErrorTest, context_keeps_the_code_and_the_hint) {
  const Error error = add_context(Error{ErrorCode::busy, "locked", "wait"}, "open store");
  EXPECT_EQ(error.code, ErrorCode::busy);
  EXPECT_EQ(error.message, "open store: locked");
  EXPECT_EQ(error.hint, "wait");
}

TEST(ErrorTest, every_code_has_a_name_of_its_own) {
  std::set<std::string_view> names;
  const std::vector<ErrorCode> codes = {ErrorCode::not_found,   ErrorCode::already_exists, ErrorCode::invalid_argument,
                                        ErrorCode::corrupt,     ErrorCode::no_space,       ErrorCode::busy,
                                        ErrorCode::unavailable, ErrorCode::cancelled,      ErrorCode::io};
  for (const ErrorCode code : codes) names.insert(to_string(code));
  EXPECT_EQ(names.size(), codes.size());
  EXPECT_EQ(to_string(ErrorCode::no_space), "no space");
}

TEST(ErrorTest, errno_values_have_codes) {
  const std::vector<std::pair<int, ErrorCode>> expected = {{ENOENT, ErrorCode::not_found},
                                                           {ENOTDIR, ErrorCode::not_found},
                                                           {EEXIST, ErrorCode::already_exists},
                                                           {EINVAL, ErrorCode::invalid_argument},
                                                           {ELOOP, ErrorCode::invalid_argument},
                                                           {ENAMETOOLONG, ErrorCode::invalid_argument},
                                                           {EXDEV, ErrorCode::invalid_argument},
                                                           {ENOSPC, ErrorCode::no_space},
                                                           {EDQUOT, ErrorCode::no_space},
                                                           {EBUSY, ErrorCode::busy},
                                                           {ETXTBSY, ErrorCode::busy},
                                                           {EAGAIN, ErrorCode::busy},
                                                           {EMFILE, ErrorCode::busy},
                                                           {ENFILE, ErrorCode::busy},
                                                           {ENOSYS, ErrorCode::unavailable},
                                                           {EOPNOTSUPP, ErrorCode::unavailable},
                                                           {ECANCELED, ErrorCode::cancelled},
                                                           {EIO, ErrorCode::io},
                                                           {EACCES, ErrorCode::io},
                                                           {123456, ErrorCode::io}};
  for (const auto& [number, code] : expected) EXPECT_EQ(code_of_errno(number), code) << number;
}

TEST(ErrorTest, an_errno_error_says_what_and_why) {
  const Status status = fail_errno(ENOENT, "open {}", "/x");
  EXPECT_EQ(status.error().code, ErrorCode::not_found);
  EXPECT_EQ(status.error().message, "open /x: No such file or directory");
  EXPECT_THAT(errno_text(123456), HasSubstr("123456"));
}

TEST(CheckDeathTest, aborts_with_the_place_and_the_message) {
  CHECK(1 + 1 == 2, "never shown");
  EXPECT_DEATH(CHECK(1 > 2), "result_test.cc:[0-9]+: check failed: 1 > 2\n");
  EXPECT_DEATH(CHECK(1 > 2, "because {}", 5), "check failed: 1 > 2: because 5");
}

}  // namespace
}  // namespace cairn::base
