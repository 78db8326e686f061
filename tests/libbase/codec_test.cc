// SPDX-License-Identifier: Apache-2.0
#include "libbase/codec.h"

#include <limits>
#include <vector>

#include <gmock/gmock.h>
#include <rapidcheck.h>

namespace cairn::base {
namespace {

std::string bytes(std::initializer_list<unsigned char> list) { return {list.begin(), list.end()}; }

TEST(CodecTest, integers_have_their_byte_order) {
  EXPECT_EQ(ByteWriter().u8(0xab).take(), bytes({0xab}));
  EXPECT_EQ(ByteWriter().u32(0x01020304).take(), bytes({4, 3, 2, 1}));
  EXPECT_EQ(ByteWriter().u64(0x0102030405060708).take(), bytes({8, 7, 6, 5, 4, 3, 2, 1}));
  EXPECT_EQ(ByteWriter().u32_key(0x01020304).take(), bytes({1, 2, 3, 4}));
  EXPECT_EQ(ByteWriter().u64_key(0x0102030405060708).take(), bytes({1, 2, 3, 4, 5, 6, 7, 8}));
  EXPECT_EQ(ByteWriter().i64(-2).take(), bytes({0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}));
}

TEST(CodecTest, varints_are_leb128) {
  EXPECT_EQ(ByteWriter().varint(0).take(), bytes({0}));
  EXPECT_EQ(ByteWriter().varint(127).take(), bytes({0x7f}));
  EXPECT_EQ(ByteWriter().varint(128).take(), bytes({0x80, 1}));
  EXPECT_EQ(ByteWriter().varint(300).take(), bytes({0xac, 2}));
  EXPECT_EQ(ByteWriter().varint(std::numeric_limits<std::uint64_t>::max()).take(),
            bytes({0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1}));
}

TEST(CodecTest, whatever_is_written_is_read) {
  const bool passed = rc::check("round trip", [](std::uint8_t a, std::uint32_t b, std::uint64_t c, std::int64_t d,
                                                 std::uint64_t e, const std::string& f, const std::string& g) {
    const std::string row =
        ByteWriter().u8(a).u32(b).u64(c).i64(d).u32_key(b).u64_key(c).varint(e).string(f).raw(g).take();
    ByteReader reader(row);
    RC_ASSERT(reader.u8().value() == a);
    RC_ASSERT(reader.u32().value() == b);
    RC_ASSERT(reader.u64().value() == c);
    RC_ASSERT(reader.i64().value() == d);
    RC_ASSERT(reader.u32_key().value() == b);
    RC_ASSERT(reader.u64_key().value() == c);
    RC_ASSERT(reader.varint().value() == e);
    RC_ASSERT(reader.string().value() == f);
    RC_ASSERT(reader.rest() == g);
    RC_ASSERT(reader.raw(g.size()).value() == g);
    RC_ASSERT(reader.at_end() && reader.expect_end().has_value());
  });
  EXPECT_TRUE(passed);
}

TEST(CodecTest, keys_order_as_their_numbers) {
  EXPECT_TRUE(rc::check("order", [](std::uint64_t a, std::uint64_t b) {
    RC_ASSERT((ByteWriter().u64_key(a).take() < ByteWriter().u64_key(b).take()) == (a < b));
  }));
}

template <class Read>
void expect_corrupt(const std::string& row, Read read) {
  ByteReader reader(row);
  const auto value = read(reader);
  ASSERT_FALSE(value) << ::testing::PrintToString(row);
  EXPECT_EQ(value.error().code, ErrorCode::corrupt);
  EXPECT_EQ(reader.rest(), row) << "a reader that failed has consumed bytes";
}

TEST(CodecTest, short_rows_are_corrupt) {
  expect_corrupt("", [](ByteReader& reader) { return reader.u8(); });
  expect_corrupt("abc", [](ByteReader& reader) { return reader.u32(); });
  expect_corrupt("abc", [](ByteReader& reader) { return reader.u32_key(); });
  expect_corrupt("abcdefg", [](ByteReader& reader) { return reader.u64(); });
  expect_corrupt("abcdefg", [](ByteReader& reader) { return reader.i64(); });
  expect_corrupt("abcdefg", [](ByteReader& reader) { return reader.u64_key(); });
  expect_corrupt("ab", [](ByteReader& reader) { return reader.raw(3); });
  expect_corrupt(bytes({3, 'a', 'b'}), [](ByteReader& reader) { return reader.string(); });
  expect_corrupt(ByteWriter().varint(std::numeric_limits<std::uint64_t>::max()).raw("abc").take(),
                 [](ByteReader& reader) { return reader.string(); });
  EXPECT_EQ(ByteReader("x").expect_end().error().code, ErrorCode::corrupt);
}

TEST(CodecTest, varints_that_no_writer_makes_are_corrupt) {
  const auto read = [](ByteReader& reader) { return reader.varint(); };
  expect_corrupt("", read);
  expect_corrupt(bytes({0x80}), read);
  expect_corrupt(std::string(10, '\xff'), read);
  expect_corrupt(std::string(9, '\xff') + "\x02", read);  // 65 bits
  expect_corrupt(bytes({0x80, 0}), read);                 // 0 in two bytes
  expect_corrupt(bytes({0xff, 0x80, 0}), read);
}

TEST(CodecTest, tables_encode_strings_ids_and_digests) {
  using RedId = Id<struct Red>;
  using RedDigest = Digest<struct Red>;
  EXPECT_EQ(Codec<std::string>::decode(Codec<std::string>::encode("a\n")).value(), "a\n");
  EXPECT_EQ(Codec<RedId>::encode(RedId(1)), bytes({0, 0, 0, 0, 0, 0, 0, 1}));
  EXPECT_EQ(Codec<RedId>::decode(bytes({0, 0, 0, 0, 0, 0, 1, 0})).value(), RedId(256));
  EXPECT_EQ(Codec<RedId>::decode("1234567").error().code, ErrorCode::corrupt);
  EXPECT_EQ(Codec<RedId>::decode("123456789").error().code, ErrorCode::corrupt);
  const RedDigest digest(Sha256Bytes{1, 2, 3});
  EXPECT_EQ(Codec<RedDigest>::decode(Codec<RedDigest>::encode(digest)).value(), digest);
  EXPECT_EQ(Codec<RedDigest>::decode("short").error().code, ErrorCode::corrupt);
}

}  // namespace
}  // namespace cairn::base
