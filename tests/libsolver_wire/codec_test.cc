// SPDX-License-Identifier: Apache-2.0
// The codec against bytes written by hand: canonical form, what is kept, and everything hostile.
#include "libbase/base64.h"
#include "libsolver/wire/codec.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "libsolver/wire/go_json.h"
#include "libsolver/wire/scan.h"

namespace cairn::solver::wire {
namespace {

using namespace std::string_literals;
using testing::HasSubstr;

std::string field(std::uint32_t number, const std::string& payload) {
  std::string out;
  append_varint(out, number << 3 | 2);
  append_varint(out, payload.size());
  return out + payload;
}

Op must_decode(const std::string& bytes) {
  DecodeBudget budget;
  auto op = decode_op(bytes, budget);
  EXPECT_TRUE(op) << op.error().message;
  return op ? *op : Op{};
}

std::string error_of(const std::string& bytes) {
  DecodeBudget budget;
  const auto op = decode_op(bytes, budget);
  return op ? "no error" : op.error().message;
}

TEST(WireEncode, MembersOfAOneofComeLast) {
  const std::string source = field(3, field(1, "local://x"));
  const std::string platform = field(10, field(1, "amd64"));
  const std::string constraints = field(11, "");
  EXPECT_EQ(encode(must_decode(source + platform + constraints)), platform + constraints + source);
}

TEST(WireEncode, EmptyMessagesThatArePresentStay) {
  EXPECT_EQ(encode(must_decode(field(11, ""))), field(11, ""));
  EXPECT_EQ(encode(must_decode("")), "");
}

TEST(WireEncode, DefaultValuesAreDropped) {
  EXPECT_EQ(encode(must_decode(field(1, field(1, "") + "\x10\0"s))), field(1, ""));
}

TEST(WireEncode, MapsAreSortedWithKeyAndValueAlways) {
  const auto entry = [](const std::string& key, const std::string& value) { return field(2, field(1, key) + field(2, value)); };
  const std::string read = field(3, field(2, field(1, "b")) + field(2, field(2, "v")) + entry("a", "1"));
  EXPECT_EQ(encode(must_decode(read)), field(3, entry("", "v") + entry("a", "1") + entry("b", "")));
}

TEST(WireEncode, UserIdZeroInAOneofIsWritten) {
  const std::string owner = field(1, "\x10\0"s);  // user: byID 0
  const std::string op = field(4, field(2, field(6, field(1, "/a") + field(4, owner))));
  EXPECT_EQ(encode(must_decode(op)), op);
}

TEST(WireEncode, NegativeNumbersTakeTenBytes) {
  Op op;
  op.op = ExecOp{};
  std::get<ExecOp>(op.op).meta.emplace().valid_exit_codes = {-1, 0, 7};
  const std::string packed = "\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x07"s;
  EXPECT_EQ(encode(op), field(2, field(1, field(12, packed))));
  EXPECT_EQ(std::get<ExecOp>(must_decode(encode(op)).op).meta->valid_exit_codes, (std::vector<std::int32_t>{-1, 0, 7}));
}

TEST(WireDecode, RepeatedNumbersMayComeOneByOne) {
  const auto op = must_decode(field(8, field(1, "id") + "\x10\x01\x10\x02"s));
  EXPECT_EQ(std::get<PassthroughOp>(op.op).outputs, (std::vector<std::int64_t>{1, 2}));
  EXPECT_EQ(encode(op), field(8, field(1, "id") + field(2, "\x01\x02")));
}

TEST(WireDecode, UnknownFieldsStayAtTheEndOfTheirMessage) {
  const std::string group = "\x9b\x06\x08\x01\x9c\x06"s;  // field 99, a group with one number in it
  const std::string fixed = "\xa1\x06" "12345678\xa5\x06" "1234"s;
  const std::string read = field(3, field(77, "new") + field(1, "local://x")) + group + fixed + field(11, "");
  EXPECT_EQ(encode(must_decode(read)), field(11, "") + field(3, field(1, "local://x") + field(77, "new")) + group + fixed);
}

TEST(WireDecode, AKnownNumberWithAnotherTypeIsUnknown) {
  const std::string platform_as_number = "\x50\x01"s;
  const auto op = must_decode(platform_as_number);
  EXPECT_FALSE(op.platform);
  EXPECT_EQ(op.unknown, platform_as_number);
}

TEST(WireDecode, TheLastMemberOfAOneofWinsAndAMessageThatComesTwiceIsMerged) {
  const auto merged = must_decode(field(3, field(1, "a")) + field(3, field(1, "b") + field(2, field(1, "k"))));
  EXPECT_EQ(std::get<SourceOp>(merged.op).identifier, "b");
  EXPECT_EQ(std::get<SourceOp>(merged.op).attrs.size(), 1u);
  EXPECT_TRUE(std::holds_alternative<MergeOp>(must_decode(field(3, field(1, "a")) + field(6, "")).op));
}

TEST(WireDecode, CutOffAndOverlongBytesAreErrors) {
  EXPECT_THAT(error_of("\x0a"), HasSubstr("cut off in a varint"));
  EXPECT_THAT(error_of("\x0a\x05" "ab"), HasSubstr("length 5 at byte 2 is beyond the end"));
  EXPECT_THAT(error_of("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), HasSubstr("beyond the end"));
  EXPECT_THAT(error_of("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02"), HasSubstr("over 64 bits"));
  EXPECT_THAT(error_of(std::string(11, '\xff')), HasSubstr("over 64 bits"));
  EXPECT_THAT(error_of("\x02"), HasSubstr("field number 0"));
  EXPECT_THAT(error_of("\x0e"), HasSubstr("wire type 6"));
  EXPECT_THAT(error_of("\x9c\x06"), HasSubstr("was not opened"));
  EXPECT_THAT(error_of("\x9b\x06"), HasSubstr("cut off"));
  EXPECT_THAT(error_of("\x9b\x06\x94\x06"), HasSubstr("is closed as"));
  EXPECT_THAT(error_of("\x99\x06" "123"), HasSubstr("beyond the end"));
  EXPECT_THAT(error_of(field(8, field(2, "\x80"))), HasSubstr("passthrough: outputs: cut off"));
}

TEST(WireDecode, StringsMustBeUtf8) {
  for (const std::string bad : {"\xff", "\xc0\x80", "\xe0\x80\x80", "\xed\xa0\x80", "\xf5\x80\x80\x80", "\xf4\x90\x80\x80", "\xe2\x82"}) {
    EXPECT_THAT(error_of(field(3, field(1, bad))), HasSubstr("source: identifier: not valid UTF-8")) << bad;
    EXPECT_THAT(error_of(field(3, field(2, field(2, bad)))), HasSubstr("not valid UTF-8")) << bad;
  }
  EXPECT_EQ(error_of(field(3, field(1, "\x7f é 日 😀 \U0010ffff"))), "no error");
}

TEST(WireDecode, NestingIsBounded) {
  std::string info;
  for (int i = 0; i < 100; ++i) info = field(3, field(2, field(3, info)));  // Definition.Source.infos.definition
  DecodeBudget budget;
  const auto definition = decode_definition(info, budget);
  ASSERT_FALSE(definition);
  EXPECT_THAT(definition.error().message, HasSubstr("nest more than 32 deep"));
}

TEST(WireDecode, GroupsNestToABound) {
  std::string open;
  for (int i = 0; i < 20'000; ++i) open += "\x9b\x06";
  EXPECT_THAT(error_of(open), HasSubstr("groups nest too deep"));
}

// Each empty mount takes 2 bytes on the wire and some 460 in memory.
TEST(WireDecode, MemoryIsBoundedNotByTheInput) {
  std::string mounts;
  for (int i = 0; i < 100'000; ++i) mounts += field(2, "");
  DecodeBudget budget{std::size_t{1} << 20};
  const auto op = decode_op(field(2, mounts), budget);
  ASSERT_FALSE(op);
  EXPECT_THAT(op.error().message, HasSubstr("too much memory"));
}

TEST(WireDecode, NestedDefinitionsRoundTripAndCopyDeep) {
  const std::string inner = field(1, "op") + field(2, field(1, "k") + field(2, field(5, field(1, "cap") + "\x10\x01"s)));
  const std::string bytes = field(5, "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"s + field(3, inner));
  const Op op = must_decode(bytes);
  const Op copy = op;
  EXPECT_EQ(encode(copy), bytes);
  EXPECT_NE(&*std::get<BuildOp>(op.op).def, &*std::get<BuildOp>(copy.op).def);
}

TEST(GoJson, EscapesAsGoDoes) {
  EXPECT_EQ(go_json("\x01\x1f\x7f \"\\/\b\f\n\r\t <>&' \u2028\u2029 😀é"),
            "\"\\u0001\\u001f\x7f \\\"\\\\/\\b\\f\\n\\r\\t \\u003c\\u003e\\u0026' \\u2028\\u2029 😀é\"");
  EXPECT_EQ(go_json("a\xff\xe2\x82z"), "\"a\\ufffd\\ufffd\\ufffdz\"");
  EXPECT_EQ(go_json(std::vector<std::string>{}), "[]");
}

TEST(GoJson, Base64IsPadded) {
  EXPECT_EQ(base::base64(""), "");
  EXPECT_EQ(base::base64("f"), "Zg==");
  EXPECT_EQ(base::base64("fo"), "Zm8=");
  EXPECT_EQ(base::base64("foo\xff"), "Zm9v/w==");
}

}  // namespace
}  // namespace cairn::solver::wire
