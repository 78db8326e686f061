// SPDX-License-Identifier: Apache-2.0
// What a policy leaves out makes no difference, what it keeps does, and no digest with a policy equals one without.
#include "libcache/normalisation.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <set>

#include "tests/libcache_digest/tree_maker.h"

namespace cairn::cache {
namespace {

std::string digest_with(const TestTree& tree, const Normalisation& policy, Selection selection = plain("/")) {
  selection.normalisation = policy;
  return shown(digest_directory(tree.top(), selection, nullptr));
}

void set_mtime(const std::string& path, std::int64_t seconds, long nanoseconds) {
  const timespec times[2] = {{0, UTIME_OMIT}, {seconds, nanoseconds}};
  ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, AT_SYMLINK_NOFOLLOW), 0);
}

class NormalisationTest : public ::testing::Test {
 protected:
  const TestTree one_{{"d dir", "d/f file x"}}, other_{{"d dir", "d/f file x"}};
};

TEST_F(NormalisationTest, OffIsBuildKitsDigest) {
  EXPECT_EQ(digest_with(one_, {}), shown(one_.digest(plain("/"))));
  EXPECT_EQ(name_of({}), "");
}

TEST_F(NormalisationTest, OwnersCountUnlessIgnored) {
  ASSERT_EQ(::chown(other_.path("d/f").c_str(), 5, 6), 0);
  ASSERT_EQ(::chown(other_.path("d").c_str(), 7, 0), 0);
  EXPECT_NE(digest_with(one_, {}), digest_with(other_, {}));
  const Normalisation policy{.owner = Normalisation::Owner::ignored, .xattrs = {}};
  EXPECT_EQ(digest_with(one_, policy), digest_with(other_, policy));
  EXPECT_EQ(digest_with(one_, policy, including("/", {"d"})), digest_with(other_, policy, including("/", {"d"})));
}

TEST_F(NormalisationTest, OnlyTheBitsOfTheMaskCount) {
  ASSERT_EQ(::chmod(other_.path("d/f").c_str(), 0600), 0);
  const Normalisation of_user{.mode_mask = 0700, .xattrs = {}}, of_group{.mode_mask = 0070, .xattrs = {}};
  EXPECT_EQ(digest_with(one_, of_user), digest_with(other_, of_user));
  EXPECT_NE(digest_with(one_, of_group), digest_with(other_, of_group));
}

TEST_F(NormalisationTest, TimesCountIfAsked) {
  for (const char* name : {"d/f", "d", ""}) {
    set_mtime(one_.path(name), 1'000, 5);
    set_mtime(other_.path(name), 1'000, 5);
  }
  const Normalisation policy{.times = Times::counted, .xattrs = {}};
  EXPECT_EQ(digest_with(one_, policy), digest_with(other_, policy));
  set_mtime(other_.path("d/f"), 1'000, 6);
  EXPECT_NE(digest_with(one_, policy), digest_with(other_, policy));
  EXPECT_EQ(digest_with(one_, {}), digest_with(other_, {}));
}

TEST_F(NormalisationTest, OnlyListedAttributesCount) {
  ASSERT_EQ(::setxattr(other_.path("d/f").c_str(), "user.noise", "1", 1, 0), 0);
  const Normalisation none{.xattrs = std::vector<std::string>()}, some{.xattrs = {{"user.kept"}}};
  EXPECT_EQ(digest_with(one_, none), digest_with(other_, none));
  EXPECT_EQ(digest_with(one_, some), digest_with(other_, some));
  ASSERT_EQ(::setxattr(other_.path("d/f").c_str(), "user.kept", "1", 1, 0), 0);
  EXPECT_EQ(digest_with(one_, none), digest_with(other_, none));
  EXPECT_NE(digest_with(one_, some), digest_with(other_, some));
}

TEST_F(NormalisationTest, PoliciesNeverShareADigest) {
  // All of these trees are the same under all of these policies, so only the policy tells the digests apart.
  const std::vector<Normalisation> policies = {
      {},
      {.owner = Normalisation::Owner::ignored, .xattrs = {}},
      {.mode_mask = 0755, .xattrs = {}},
      {.mode_mask = 07755, .xattrs = {}},
      {.xattrs = std::vector<std::string>()},
      {.xattrs = {{"user.a"}}},
      {.xattrs = {{"user.a", "user.b"}}},
      {.times = Times::counted, .xattrs = {}},
  };
  for (const Selection& selection : {plain("/"), plain("d/f"), including("/", {"nosuch"})}) {
    std::set<std::string> digests;
    for (const Normalisation& policy : policies) digests.insert(digest_with(one_, policy, selection));
    EXPECT_EQ(digests.size(), policies.size()) << selection.path;
  }
}

TEST(Normalisation, ItsNameDoesNotDependOnTheOrderOfItsList) {
  const Normalisation ab{.xattrs = {{"a", "b"}}}, ba{.xattrs = {{"b", "a", "b"}}}, joined{.xattrs = {{"ab"}}};
  EXPECT_EQ(name_of(ab), name_of(ba));
  EXPECT_NE(name_of(ab), name_of(joined));
}

}  // namespace
}  // namespace cairn::cache
