// SPDX-License-Identifier: Apache-2.0
// Entries as bytes: what was encoded is what is decoded, and nothing else is.
#include "libremote/entries/tier_entry.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using cache::SizedBlob;
using cache::TierEntry;

const KeyDigest key = base::digest_of<KeyDigest>("key");
const TierEntry full{.value = std::string("va\0lue", 6),
                     .closure = std::vector<SizedBlob>{{base::digest_of<BlobDigest>("a"), 1},
                                                       {base::digest_of<BlobDigest>("b"), 1ull << 40}},
                     .attributes = "attributes",
                     .build_time = std::chrono::seconds(90)};

TEST(TierEntryBytes, AreTheEntryAgain) {
  const auto back = decode_tier_entry(key, encode_tier_entry(key, full).value());
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->value, full.value);
  EXPECT_EQ(back->attributes, full.attributes);
  EXPECT_EQ(back->build_time, full.build_time);
  ASSERT_TRUE(back->closure);
  ASSERT_EQ(back->closure->size(), 2u);
  EXPECT_EQ((*back->closure)[1].digest, (*full.closure)[1].digest);
  EXPECT_EQ((*back->closure)[1].size, 1ull << 40);
  const auto unknown = decode_tier_entry(key, encode_tier_entry(key, {.value = "v"}).value());
  ASSERT_TRUE(unknown);
  EXPECT_FALSE(unknown->closure);
  const auto none =
      decode_tier_entry(key, encode_tier_entry(key, {.value = "", .closure = std::vector<SizedBlob>{}}).value());
  ASSERT_TRUE(none);
  ASSERT_TRUE(none->closure);
  EXPECT_TRUE(none->closure->empty());
}

TEST(TierEntryBytes, EveryBitAndEveryByteCounts) {
  const std::string bytes = encode_tier_entry(key, full).value();
  for (std::size_t at = 0; at < bytes.size(); ++at) {
    std::string other = bytes;
    other[at] = static_cast<char>(other[at] ^ (1 << (at % 8)));
    EXPECT_EQ(decode_tier_entry(key, other).error().code, ErrorCode::corrupt) << at;
    EXPECT_EQ(decode_tier_entry(key, bytes.substr(0, at)).error().code, ErrorCode::corrupt) << at;
  }
  EXPECT_EQ(decode_tier_entry(key, bytes + '\0').error().code, ErrorCode::corrupt);
}

TEST(TierEntryBytes, OfAnotherNameAreNotTaken) {
  const auto other = decode_tier_entry(base::digest_of<KeyDigest>("other"), encode_tier_entry(key, full).value());
  ASSERT_FALSE(other);
  EXPECT_THAT(other.error().message, testing::HasSubstr("it is another entry"));
}

TEST(TierEntryBytes, AreBounded) {
  EXPECT_EQ(encode_tier_entry(key, {.value = "", .attributes = std::string(2049, 'a')}).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(encode_tier_entry(key, {.value = std::string(tier_entry_bytes_max - 50, 'v')}).error().code,
            ErrorCode::invalid_argument);
  EXPECT_EQ(decode_tier_entry(key, std::string(tier_entry_bytes_max + 1, 'v')).error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace cairn::remote
