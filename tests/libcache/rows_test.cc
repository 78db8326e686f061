// SPDX-License-Identifier: Apache-2.0
// Rows: what is written is read back, and damage is corrupt, whatever byte it hits.
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libcache/blobs/blob_rows.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/record_rows.h"
#include "libcache/records/use_times.h"

namespace cairn::cache {
namespace {

using base::Codec;
using base::ErrorCode;

RecordRow sample_record() {
  RecordRow row;
  row.snapshot = snapshot::SnapshotId(77);
  row.parents = {RecordId(5), RecordId(1ull << 40)};
  row.facts = {RecordType::source_image, DigestRules::stream, "pull alpine", base::digest_of<ChainId>("chain")};
  row.usage = {123456, 42};
  row.created = base::from_unix_ns(1);
  row.last_used = base::from_unix_ns(-2);
  return row;
}

template <class T>
void expect_every_prefix_corrupt(const T& value) {
  const std::string bytes = Codec<T>::encode(value);
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    const auto decoded = Codec<T>::decode(std::string_view(bytes).substr(0, size));
    ASSERT_FALSE(decoded) << size;
    EXPECT_EQ(decoded.error().code, ErrorCode::corrupt);
  }
  const auto longer = Codec<T>::decode(bytes + "x");
  ASSERT_FALSE(longer);
  EXPECT_EQ(longer.error().code, ErrorCode::corrupt);
  std::string newer = bytes;
  ++newer[0];
  const auto other_version = Codec<T>::decode(newer);
  ASSERT_FALSE(other_version);
  EXPECT_EQ(other_version.error().code, ErrorCode::corrupt);
}

TEST(Rows, RecordComesBackWhole) {
  const RecordRow row = sample_record();
  const auto back = Codec<RecordRow>::decode(Codec<RecordRow>::encode(row));
  ASSERT_TRUE(back);
  EXPECT_EQ(back->snapshot, row.snapshot);
  EXPECT_EQ(back->parents, row.parents);
  EXPECT_EQ(back->facts.type, RecordType::source_image);
  EXPECT_EQ(back->facts.rules, DigestRules::stream);
  EXPECT_EQ(back->facts.description, "pull alpine");
  EXPECT_EQ(back->facts.chain, row.facts.chain);
  EXPECT_EQ(back->usage.bytes, 123456);
  EXPECT_EQ(back->usage.inodes, 42);
  EXPECT_EQ(back->created, row.created);
  EXPECT_EQ(back->last_used, row.last_used);
}

TEST(Rows, TruncatedLongerAndNewerRowsAreCorrupt) {
  expect_every_prefix_corrupt(sample_record());
  expect_every_prefix_corrupt(TreeDigestRow{base::digest_of<TreeDigest>("t")});
  expect_every_prefix_corrupt(KeyResultRow{base::from_unix_ns(9)});
  expect_every_prefix_corrupt(KeyLinkRow{1, base::sha256("o"), 2, base::sha256("s")});
  expect_every_prefix_corrupt(BlobRow{10, 4096, BlobPlace::pack, {3, 40}});
  expect_every_prefix_corrupt(PackRow{1, 2, 3, 4});
  expect_every_prefix_corrupt(Present{});
}

TEST(Rows, RecordWithAnUnknownEnumOrAnAbsurdCountIsCorrupt) {
  const std::string good = Codec<RecordRow>::encode(sample_record());
  std::string bad_type = good;
  bad_type[1] = 99;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_type).error().code, ErrorCode::corrupt);
  std::string bad_rules = good;
  bad_rules[2] = 2;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_rules).error().code, ErrorCode::corrupt);
  // The count of parents follows version, type, rules, five 64-bit numbers, the chain's flag and the chain.
  std::string bad_count = good;
  bad_count[3 + 5 * 8 + 1 + 32] = 0x7f;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_count).error().code, ErrorCode::corrupt);
}

TEST(Rows, KeysKeepTheOrderOfTheirParts) {
  using Key = std::tuple<RecordId, RecordId>;
  const auto encode = [](std::uint64_t a, std::uint64_t b) { return Codec<Key>::encode({RecordId(a), RecordId(b)}); };
  EXPECT_LT(encode(1, 300), encode(2, 1));
  EXPECT_LT(encode(1, 255), encode(1, 256));
  EXPECT_EQ(*Codec<Key>::decode(encode(7, 8)), Key(RecordId(7), RecordId(8)));
  EXPECT_EQ(Codec<Key>::decode(encode(7, 8) + "x").error().code, ErrorCode::corrupt);
  EXPECT_EQ(Codec<Key>::decode("short").error().code, ErrorCode::corrupt);
}

TEST(Rows, EveryPartOfASelectionCounts) {
  Selection base_selection{"/a", false, false, {"x"}, {"y"}, {"z"}};
  std::vector<std::vector<Selection>> all = {{}, {base_selection}, {base_selection, base_selection}};
  for (int field = 0; field < 6; ++field) {
    Selection other = base_selection;
    if (field == 0) other.path = "/b";
    if (field == 1) other.follow_links = true;
    if (field == 2) other.wildcard = true;
    if (field == 3) other.include_patterns = {"x", ""};
    if (field == 4) other.exclude_patterns = {};
    if (field == 5) other.required_paths = {"zz"};
    all.push_back({other});
  }
  for (std::size_t a = 0; a < all.size(); ++a)
    for (std::size_t b = 0; b < all.size(); ++b)
      EXPECT_EQ(digest_selections(all[a]) == digest_selections(all[b]), a == b) << a << " " << b;
}

TEST(Rows, LateFactsWithAnyFlippedByteAreRefused) {
  const UseTimeMap times = {{RecordId(3), base::from_unix_ns(30)}, {RecordId(9), base::from_unix_ns(90)}};
  const std::string bytes = encode_late_facts(times);
  const auto back = decode_late_facts(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, times);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 1);
    ASSERT_FALSE(decode_late_facts(flipped)) << i;
  }
  EXPECT_FALSE(decode_late_facts(""));
}

}  // namespace
}  // namespace cairn::cache
