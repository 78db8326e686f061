// SPDX-License-Identifier: Apache-2.0
// Rows: what is written is read back, and damage is corrupt, whatever byte it hits.
#include <gtest/gtest.h>

#include "libbase/hash/sha256.h"
#include "libcache/account/totals.h"
#include "libcache/blobs/chunk_rows.h"
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
  row.facts = {.type = RecordType::source_image,
               .rules = DigestRules::stream,
               .description = "pull alpine",
               .chain = base::digest_of<ChainId>("chain"),
               .owner = {.project = "cairn", .build = "b-17", .step = "RUN make"},
               .build_time = std::chrono::milliseconds(1500),
               .retain = Retain::yes};
  row.usage = {123456, 42, 100000};
  row.use_count = 300;
  row.kind = RecordKind::merge;
  row.space = {.exclusive_bytes = 100,
               .exclusive_inodes = 2,
               .shared_bytes = 123356,
               .blob_exclusive_bytes = 4096,
               .blob_shared_bytes = 8192};
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
  newer[0] = static_cast<char>(newer[0] + 1);
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
  EXPECT_EQ(back->usage, row.usage);
  EXPECT_EQ(back->last_used, row.last_used);
  EXPECT_EQ(back->use_count, 300u);
  EXPECT_EQ(back->kind, RecordKind::merge);
  EXPECT_EQ(back->space, row.space);
  EXPECT_EQ(back->facts.retain, Retain::yes);
  EXPECT_EQ(back->facts.owner, row.facts.owner);
  EXPECT_EQ(back->facts.build_time, std::chrono::milliseconds(1500));
}

TEST(Rows, ARecordOfVersion1IsReadAndWrittenAnewAsVersion2) {
  const ChainId chain = base::digest_of<ChainId>("chain");
  base::ByteWriter writer;
  writer.u8(1).u8(2).u8(1).u64(77).i64(123456).i64(42).i64(1).i64(-2).u8(1).raw(chain.raw());
  const std::string bytes = writer.varint(2).u64(5).u64(6).string("pull alpine").take();
  const auto row = Codec<RecordRow>::decode(bytes);
  ASSERT_TRUE(row);
  EXPECT_EQ(row->facts.type, RecordType::source_image);
  EXPECT_EQ(row->facts.rules, DigestRules::stream);
  EXPECT_EQ(row->snapshot, snapshot::SnapshotId(77));
  EXPECT_EQ(row->usage, (snapshot::Usage{123456, 42, 0}));
  EXPECT_EQ(row->created, base::from_unix_ns(1));
  EXPECT_EQ(row->last_used, base::from_unix_ns(-2));
  EXPECT_EQ(row->facts.chain, chain);
  EXPECT_EQ(row->parents, (std::vector{RecordId(5), RecordId(6)}));
  EXPECT_EQ(row->facts.description, "pull alpine");
  EXPECT_EQ(row->facts.owner, Owner{});
  EXPECT_EQ(row->kind, RecordKind::layer);
  EXPECT_EQ(row->use_count, 0u);
  EXPECT_EQ(row->space, (RecordSpace{.exclusive_bytes = 123456, .exclusive_inodes = 42}));
  EXPECT_EQ(Codec<RecordRow>::encode(*row)[0], 2);
  for (std::size_t size = 0; size < bytes.size(); ++size)
    ASSERT_FALSE(Codec<RecordRow>::decode(std::string_view(bytes).substr(0, size))) << size;
  std::string newer_type = bytes;
  newer_type[1] = 5;  // version 1 did not know it
  EXPECT_FALSE(Codec<RecordRow>::decode(newer_type));
}

TEST(Rows, AnOwnerLabelThatIsTooLongIsCorrupt) {
  RecordRow row = sample_record();
  row.facts.owner.step = std::string(owner_label_bytes_max + 1, 'x');
  EXPECT_EQ(check_owner(row.facts.owner).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(Codec<RecordRow>::decode(Codec<RecordRow>::encode(row)).error().code, ErrorCode::corrupt);
}

TEST(Rows, ATotalComesBackWhole) {
  const Totals totals{.count = 3, .exclusive_bytes = -4, .shared_bytes = 5, .inodes = 6};
  EXPECT_EQ(*Codec<Totals>::decode(Codec<Totals>::encode(totals)), totals);
  const TotalKey key{TotalKind::build, "b-17"};
  EXPECT_EQ(*Codec<TotalKey>::decode(Codec<TotalKey>::encode(key)), key);
  EXPECT_FALSE(Codec<TotalKey>::decode("\x09x"));
  EXPECT_FALSE(Codec<TotalKey>::decode(""));
}

TEST(Rows, TruncatedLongerAndNewerRowsAreCorrupt) {
  expect_every_prefix_corrupt(sample_record());
  expect_every_prefix_corrupt(TreeDigestRow{base::digest_of<TreeDigest>("t")});
  expect_every_prefix_corrupt(KeyResultRow{base::from_unix_ns(9)});
  expect_every_prefix_corrupt(KeyLinkRow{1, base::sha256("o"), 2, base::sha256("s")});
  expect_every_prefix_corrupt(BlobRow{10, 4096, BlobPlace::pack, {3, 40}});
  expect_every_prefix_corrupt(BlobRow{1 << 20, 0, BlobPlace::chunks, {}});
  expect_every_prefix_corrupt(ChunkList{{{base::digest_of<BlobDigest>("a"), 200}, {base::digest_of<BlobDigest>("b"), 1}}});
  expect_every_prefix_corrupt(PackRow{1, 2, 3, 4});
  expect_every_prefix_corrupt(Totals{.count = 1, .exclusive_bytes = 2});
  expect_every_prefix_corrupt(Present{});
}

TEST(Rows, ARowOfABlobInChunksIsRefusedByWhoeverKnowsNoChunks) {
  EXPECT_EQ(Codec<BlobRow>::encode({1, 2, BlobPlace::file, {}})[0], 2);
  std::string row = Codec<BlobRow>::encode({1 << 20, 0, BlobPlace::chunks, {}});
  EXPECT_EQ(row[0], 3);
  EXPECT_EQ(Codec<BlobRow>::decode(row)->place, BlobPlace::chunks);
  row[0] = 2;
  EXPECT_EQ(Codec<BlobRow>::decode(row).error().code, ErrorCode::corrupt);
}

TEST(Rows, AListOfChunksWithAnEmptyOneOrTooManyIsCorrupt) {
  const std::string good = Codec<ChunkList>::encode({{{base::digest_of<BlobDigest>("a"), 100}}});
  EXPECT_EQ(Codec<ChunkList>::decode(good)->size(), 100u);
  std::string empty_chunk = good, no_chunk = good.substr(0, 2);
  empty_chunk[2] = 0;
  no_chunk[1] = 0;
  EXPECT_EQ(Codec<ChunkList>::decode(empty_chunk).error().code, ErrorCode::corrupt);
  EXPECT_EQ(Codec<ChunkList>::decode(no_chunk).error().code, ErrorCode::corrupt);
  const std::string many = base::ByteWriter().u8(1).varint(chunks_max + 1).take();
  EXPECT_EQ(Codec<ChunkList>::decode(many).error().code, ErrorCode::corrupt);
}

TEST(Rows, RecordWithAnUnknownEnumOrAnAbsurdCountIsCorrupt) {
  const std::string good = Codec<RecordRow>::encode(sample_record());
  std::string bad_type = good;
  bad_type[1] = 99;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_type).error().code, ErrorCode::corrupt);
  std::string bad_rules = good;
  bad_rules[2] = 2;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_rules).error().code, ErrorCode::corrupt);
  std::string bad_kind = good;
  bad_kind[3] = 9;
  EXPECT_EQ(Codec<RecordRow>::decode(bad_kind).error().code, ErrorCode::corrupt);
  // The count of parents follows version, type, rules, kind, retain, eleven 64-bit numbers, the uses (two bytes), the time it
  // took, the chain's flag and the chain.
  std::string bad_count = good;
  const std::size_t at = 5 + 11 * 8 + 2 + 8 + 1 + 32;
  ASSERT_EQ(bad_count[at], 2);
  bad_count[at] = 0x7f;
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
  const LateFacts times = {.uses = {{RecordId(3), {base::from_unix_ns(30), 1}}, {RecordId(9), {base::from_unix_ns(90), 7}}},
                           .counters = {{"", {.hits = 4}}, {"p", {.hits = 1, .bytes_saved = 77}}}};
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

TEST(Rows, LateFactsOfVersion1CountOneUseEach) {
  std::string bytes = base::ByteWriter().raw("cairn late 1\n").u64(1).u64(3).i64(30).take();
  bytes += base::digest_of<BlobDigest>(bytes).raw();
  const auto back = decode_late_facts(bytes);
  ASSERT_TRUE(back);
  EXPECT_EQ(*back, (LateFacts{.uses = {{RecordId(3), {base::from_unix_ns(30), 1}}}, .counters = {}}));
}

}  // namespace
}  // namespace cairn::cache
