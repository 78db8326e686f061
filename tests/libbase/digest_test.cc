// SPDX-License-Identifier: Apache-2.0
#include "libbase/digest.h"

#include <type_traits>
#include <unordered_set>

#include <gmock/gmock.h>

namespace cairn::base {
namespace {

using RedDigest = Digest<struct Red>;
using BlueDigest = Digest<struct Blue>;
static_assert(!std::is_convertible_v<RedDigest, BlueDigest> && !std::is_constructible_v<RedDigest, BlueDigest>);
static_assert(!std::is_convertible_v<Sha256Bytes, RedDigest>, "a digest is made explicitly");

const std::string hex = "00ff10a5b3c4d5e6f708192a3b4c5d6e7f8091a2b3c4d5e6f708192a3b4c5d6e";

TEST(DigestTest, text_goes_there_and_back) {
  const RedDigest digest = RedDigest::parse("sha256:" + hex).value();
  EXPECT_EQ(digest.hex(), hex);
  EXPECT_EQ(digest.str(), "sha256:" + hex);
  EXPECT_EQ(fmt::format("<{}>", digest), "<sha256:" + hex + ">");
  EXPECT_EQ(digest.bytes()[1], 0xff);
  EXPECT_FALSE(digest.is_zero());
  EXPECT_TRUE(RedDigest().is_zero());
}

TEST(DigestTest, only_the_one_text_form_is_accepted) {
  std::string upper = hex;
  upper[2] = 'F';
  for (const std::string& text : {std::string(), std::string("sha256:"), hex, "sha512:" + hex, "SHA256:" + hex,
                                  "sha256:" + hex.substr(1), "sha256:" + hex + "0", "sha256:" + upper,
                                  "sha256:g" + hex.substr(1), "sha256:" + hex.substr(1) + "/", " sha256:" + hex}) {
    const auto parsed = RedDigest::parse(text);
    ASSERT_FALSE(parsed) << text;
    EXPECT_EQ(parsed.error().code, ErrorCode::invalid_argument) << text;
  }
}

TEST(DigestTest, raw_bytes_go_there_and_back) {
  const RedDigest digest = RedDigest::parse("sha256:" + hex).value();
  ASSERT_EQ(digest.raw().size(), 32u);
  EXPECT_EQ(RedDigest::from_raw(digest.raw()).value(), digest);
  EXPECT_EQ(RedDigest::from_raw(digest.raw().substr(1)).error().code, ErrorCode::corrupt);
  EXPECT_EQ(RedDigest::from_raw(std::string(33, 'x')).error().code, ErrorCode::corrupt);
}

TEST(DigestTest, orders_and_hashes_by_its_bytes) {
  Sha256Bytes low{}, high{};
  low[31] = 200;
  high[0] = 1;
  EXPECT_LT(RedDigest(low), RedDigest(high));
  const std::unordered_set<RedDigest> set = {RedDigest(low), RedDigest(high), RedDigest(low)};
  EXPECT_EQ(set.size(), 2u);
}

TEST(DigestTest, hex_of_any_length) {
  EXPECT_EQ(to_hex({}), "");
  const std::uint8_t bytes[] = {0, 0x0f, 0xf0};
  EXPECT_EQ(to_hex(bytes), "000ff0");
}

}  // namespace
}  // namespace cairn::base
