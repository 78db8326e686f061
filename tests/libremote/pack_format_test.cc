// SPDX-License-Identifier: Apache-2.0
// Packs of a bucket as bytes, and what is known of a bucket by them.
#include "libremote/s3/pack_format.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libremote/s3/bucket_index.h"
#include "libremote/s3/listing.h"

namespace cairn::remote {
namespace {

using base::ErrorCode;
using Kind = PackItem::Kind;

base::Sha256Bytes hash(const std::string& text) { return base::sha256(text); }
BlobDigest blob(const std::string& text) { return BlobDigest(hash(text)); }
KeyDigest key(const std::string& text) { return KeyDigest(hash(text)); }
PackName named(std::uint64_t time_ms, const std::string& text = "index") { return {time_ms, 100, hash(text)}; }
BucketIndex::Time at(int seconds) { return BucketIndex::Time(std::chrono::seconds(seconds)); }

const std::vector<PackItem> items = {{Kind::blob, hash("a"), 5},
                                     {Kind::loose, hash("large"), std::uint64_t{1} << 40},
                                     {Kind::entry, hash("k"), 300},
                                     {Kind::blob, hash("b"), 7}};

TEST(PackFormat, AnIndexIsWhatWasEncodedAndNothingElseIs) {
  const std::string bytes = encode_pack_index(items);
  EXPECT_EQ(decode_pack_index(bytes).value(), items);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    EXPECT_EQ(decode_pack_index(bytes.substr(0, size)).error().code, ErrorCode::corrupt) << size;
  EXPECT_EQ(decode_pack_index(bytes + '\0').error().code, ErrorCode::corrupt);
  const std::vector<PackItem> too_long = {{Kind::blob, hash("a"), pack_bytes_max}};
  EXPECT_EQ(decode_pack_index(encode_pack_index(too_long)).error().code, ErrorCode::corrupt);
}

TEST(PackFormat, NamesAreInTheOrderOfTheirTime) {
  const PackName name = named(1'764'000'000'000);
  EXPECT_EQ(PackName::parse(name.str()), name);
  EXPECT_LT(name.str(), named(1'764'000'000'001, "another").str());
  EXPECT_LT(before_packs_of(name.time_ms), name.str());
  EXPECT_GT(before_packs_of(name.time_ms), named(name.time_ms - 1).str());
  for (const std::string& other : {name.str() + "0", name.str().substr(1), std::string(PackName::text_bytes, '-'),
                                   std::string(PackName::text_bytes, 'F')})
    EXPECT_FALSE(PackName::parse(other)) << other;
}

TEST(PackFormat, AnEntryHasThePlacesOfWhatItNeeds) {
  const PlacedEntry entry{.packs = {named(1), named(2)}, .places = {{1, 10}, {0, 0}, {3, 99}}, .entry = "an entry"};
  const auto back = decode_placed_entry(encode_placed_entry(entry));
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->packs, entry.packs);
  EXPECT_EQ(back->places, entry.places);
  EXPECT_EQ(back->entry, "an entry");
  const PlacedEntry beyond{.packs = {named(1)}, .places = {{3, 0}}, .entry = "e"};
  EXPECT_EQ(decode_placed_entry(encode_placed_entry(beyond)).error().code, ErrorCode::corrupt);
}

TEST(S3Listing, IsTheKeysAndWhetherThereAreMore) {
  const auto page = [](const std::string& more, const std::string& keys) {
    return parse_listing("<ListBucketResult><IsTruncated>" + more + "</IsTruncated>" + keys + "</ListBucketResult>");
  };
  const auto two = page("true", "<Key>packs/a</Key><Size>4</Size><Key>packs/b</Key>");
  ASSERT_TRUE(two);
  EXPECT_TRUE(two->goes_on);
  EXPECT_THAT(two->keys, testing::ElementsAre("packs/a", "packs/b"));
  EXPECT_FALSE(page("false", "")->goes_on);
  EXPECT_THAT(page("false", "<Key>a&amp;b</Key><Key>c</Key>")->keys, testing::ElementsAre("c"));
  EXPECT_FALSE(page("true", "")) << "it would never end";
  EXPECT_FALSE(page("maybe", ""));
  EXPECT_FALSE(parse_listing("<Error><Code>SlowDown</Code></Error>"));
}

TEST(BucketIndexTest, KnowsWhereThingsAre) {
  BucketIndex index(100);
  EXPECT_TRUE(index.saw(named(5), at(1))) << "its index has to be read";
  index.add(named(5), items, at(1));
  EXPECT_FALSE(index.saw(named(5), at(2)));
  const auto b = index.blob(blob("b"));
  ASSERT_TRUE(b);
  EXPECT_EQ(b->pack, named(5));
  EXPECT_EQ(b->offset, 305u) << "what is loose takes no room";
  EXPECT_EQ(b->size, 7u);
  EXPECT_EQ(index.entry(key("k"))->offset, 5u);
  EXPECT_TRUE(index.blob(blob("large"))->is_loose);
  EXPECT_FALSE(index.entry(key("a"))) << "a blob is no entry";
  EXPECT_FALSE(index.blob(blob("k")));
}

TEST(BucketIndexTest, TheNewestCountsHoweverTheyAreRead) {
  BucketIndex index(100);
  index.add(named(5), items, at(1));
  index.add(named(4), items, at(1));
  EXPECT_EQ(index.entry(key("k"))->pack, named(5));
  index.add(named(6), items, at(1));
  EXPECT_EQ(index.entry(key("k"))->pack, named(6));
}

TEST(BucketIndexTest, WhatIsGoneIsForgottenAndWhatLiesIsNotReadAgain) {
  BucketIndex index(100);
  index.add(named(5), items, at(1));
  index.add(named(6), std::vector<PackItem>{{Kind::blob, hash("c"), 1}}, at(1));
  index.saw(named(6), at(10));
  index.forget_unseen(at(5));
  EXPECT_FALSE(index.blob(blob("a")));
  EXPECT_TRUE(index.blob(blob("c")));
  EXPECT_TRUE(index.saw(named(5), at(11))) << "it may come again";
  index.condemn(named(6));
  EXPECT_EQ(index.size(), 0u);
  EXPECT_FALSE(index.saw(named(6), at(12)));
  index.add(named(6), items, at(12));
  EXPECT_EQ(index.size(), 0u);
}

TEST(BucketIndexTest, BeyondItsBoundTheOldestAreLeftOut) {
  BucketIndex index(100);
  for (std::uint64_t pack = 0; pack < 40; ++pack) {
    std::vector<PackItem> ten;
    for (int i = 0; i < 10; ++i) ten.push_back({Kind::blob, hash(std::to_string(pack * 10 + i)), 1});
    index.add(named(pack), ten, at(1));
    EXPECT_LE(index.size(), 100u);
  }
  EXPECT_TRUE(index.blob(blob("399")));
  EXPECT_TRUE(index.blob(blob("310")));
  EXPECT_FALSE(index.blob(blob("200")));
  EXPECT_FALSE(index.saw(named(3), at(2))) << "there would be no room for it";
}

}  // namespace
}  // namespace cairn::remote
