// SPDX-License-Identifier: Apache-2.0
// Users from passwd and group texts. spec/solver 6.2.
#include "libsolver/exec/user.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cairn::solver {
namespace {

using ::testing::ElementsAre;

constexpr std::string_view passwd =
    "# a comment:x:7:7\n"
    "broken line\n"
    "bad:x:abc:1\n"
    "root:x:0:0:root:/root:/bin/sh\n"
    "app:x:1000:1001:App:/:/bin/sh\n"
    "0042:x:42:42::/:/bin/sh\n"
    "last:x:5:6";
constexpr std::string_view group =
    "root:x:0:\n"
    "nonsense\n"
    "wheel:x:10:root,app\n"
    "app:x:1001:app\n"
    "huge:x:99999999999:app\n"
    "only:x:77:other\n";

StepUser resolved(std::string_view text) {
  const auto user = resolve_user(text, passwd, group);
  EXPECT_TRUE(user) << user.error().message;
  return user ? *user : StepUser{9, 9, {9}};
}

TEST(User, names_numbers_and_groups) {
  EXPECT_EQ(resolved("app").uid, 1000u);
  EXPECT_EQ(resolved("app").gid, 1001u);
  EXPECT_THAT(resolved("app").groups, ElementsAre(1001, 10));
  EXPECT_THAT(resolved("").groups, ElementsAre(0, 10));
  EXPECT_EQ(resolved("1000").gid, 1001u) << "a number is looked up too";
  EXPECT_EQ(resolved("root").home, "/root");
  EXPECT_EQ(resolved("last").home, "/") << "passwd does not say";
  EXPECT_EQ(resolved("4242").home, "/");
  EXPECT_EQ(resolved("3000").uid, 3000u);
  EXPECT_EQ(resolved("3000").gid, 0u);
  EXPECT_THAT(resolved("app:only").groups, ElementsAre(77)) << "a given group replaces the user's";
  EXPECT_EQ(resolved("app:12345").gid, 12345u);
  EXPECT_EQ(resolved(":wheel").gid, 10u);
  EXPECT_EQ(resolved("last").gid, 6u) << "no line break at the end";
  EXPECT_EQ(resolved("app:").gid, 1001u);
}

TEST(User, unknown_names_and_numbers_out_of_range_are_refused) {
  for (const char* text : {"ghost", "app:ghosts", "bad", "99999999999", "app:99999999999", "-1", "2147483648", "huge",
                           "app:huge", "# a comment"}) {
    const auto user = resolve_user(text, passwd, group);
    ASSERT_FALSE(user) << text;
    EXPECT_EQ(user.error().code, base::ErrorCode::invalid_argument) << text;
  }
}

TEST(User, without_files_only_numbers_are_known) {
  EXPECT_TRUE(resolve_user("", "", ""));
  EXPECT_TRUE(resolve_user("12", "", ""));
  EXPECT_FALSE(resolve_user("root", "", ""));
}

}  // namespace
}  // namespace cairn::solver
