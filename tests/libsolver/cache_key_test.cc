// SPDX-License-Identifier: Apache-2.0
// Keys are stored: a change of one of these values loses every cache there is.
#include "libsolver/cache_key.h"

#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"

namespace cairn::solver {
namespace {

OpDigest operation() { return {.hash = base::sha256("operation")}; }
KeyDigest key(std::string_view name) { return base::digest_of<KeyDigest>(name); }

// spec/solver 0.1, G6 and G7: observed in a public cache.
TEST(CacheKey, RootKeyIsBuildKits) {
  const OpDigest source{
      .hash = base::sha256("buildkit.source.v0:sha256:7eaa7e5de62b70adb0d0c875f6a90ddd20b18fe9f215c3a9172f1011fffb7cc4")};
  EXPECT_EQ(source.str(), "sha256:f389a15b0192e0db58e05ed42287a61d8f77e21841256be23e0e8f2939652f16");
  EXPECT_EQ(root_key(source, 0).str(), "sha256:ec26cd799826d9885682a5502f99766b244849b19296d63b87d98572677c78e3");
  EXPECT_NE(root_key(source, 1), root_key(source, 0));
}

TEST(CacheKey, ContentKeyIsARootKeyOfOutputMinusOne) {
  EXPECT_EQ(content_key(base::digest_of<TreeDigest>("content")).hex(),
            "76968aebce44d5d23d2a300751a2d5b047d9143b7e8391c37c6f33c76e9f0355");
}

TEST(CacheKey, CombinedKeysOfVersionOneStayWhatTheyAre) {
  const KeyInput one[] = {{.key = key("key one")}};
  EXPECT_EQ(combined_key(0, operation(), 0, one).hex(), "15e06e25ae63a9de943f10dbf398ec8d7b669a18d562eec1c0385324f783bd7f");
  const KeyInput two[] = {{.key = key("key one"), .selector = base::sha256("selector")}, {.key = key("key two")}};
  EXPECT_EQ(combined_key(0, operation(), 1, two).hex(), "b894c4e626124c74ed3f2d7c33622cdabfe951034edcf954e5566ae3f6be311e");
  EXPECT_EQ(combined_key(7, operation(), 1, two).hex(), "8463c1904a7ba1a50c55027e736c0d7898a7d38b60a51fc770c7a3393cf42eef");
}

TEST(CacheKey, CombinedKeyDependsOnTheOrderOfInputs) {
  const KeyInput forth[] = {{.key = key("a")}, {.key = key("b")}};
  const KeyInput back[] = {{.key = key("b")}, {.key = key("a")}};
  EXPECT_NE(combined_key(0, operation(), 0, forth), combined_key(0, operation(), 0, back));
}

TEST(CacheKeyDeathTest, ASessionsDigestHasNoRootKey) {
  const OpDigest session{.hash = base::sha256("x"), .scope = OpDigest::Scope::session};
  EXPECT_DEATH(root_key(session, 0), "no stored key");
}

}  // namespace
}  // namespace cairn::solver
