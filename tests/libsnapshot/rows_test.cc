// SPDX-License-Identifier: Apache-2.0
// The bytes of rows: what version 2 holds, that rows of version 1 are still read, and what is refused.
#include "libsnapshot/meta/rows.h"

#include <gtest/gtest.h>

namespace cairn::snapshot {
namespace {

using base::ByteWriter;
using base::Codec;
using base::ErrorCode;

SnapshotRow full_row() {
  SnapshotRow row;
  row.stacked_on = {SnapshotId(9), SnapshotId(4)};
  row.usage = {.bytes = 8192, .inodes = 3, .logical_bytes = 5000};
  row.flat = {.bytes = 16384, .inodes = 7, .logical_bytes = 9000};
  row.exclusive = {.bytes = 12288, .inodes = 5, .logical_bytes = 4000};
  row.depth = 3;
  row.shape = Shape::stacked;
  row.flattened = true;
  row.marks = {.opaque = false, .whiteouts = true};
  row.created = base::from_unix_ns(-5);
  row.updated = base::from_unix_ns(1'764'000'000'123'456'789);
  row.labels = {{"a", ""}, {"b", std::string("x\0y", 3)}};
  return row;
}

void expect_equal(const SnapshotRow& is, const SnapshotRow& should) {
  EXPECT_EQ(is.parent, should.parent);
  EXPECT_EQ(is.stacked_on, should.stacked_on);
  EXPECT_EQ(is.usage, should.usage);
  EXPECT_EQ(is.flat, should.flat);
  EXPECT_EQ(is.exclusive, should.exclusive);
  EXPECT_EQ(is.depth, should.depth);
  EXPECT_EQ(is.shape, should.shape);
  EXPECT_EQ(is.flattened, should.flattened);
  EXPECT_EQ(is.marks, should.marks);
  EXPECT_EQ(is.created, should.created);
  EXPECT_EQ(is.updated, should.updated);
  EXPECT_EQ(is.labels, should.labels);
}

template <class Row>
void expect_corrupt(const std::string& bytes) {
  const auto row = Codec<Row>::decode(bytes);
  ASSERT_FALSE(row.has_value());
  EXPECT_EQ(row.error().code, ErrorCode::corrupt);
}

TEST(SnapshotRows, AMergeComesBackAsItWas) {
  const SnapshotRow row = full_row();
  const auto back = Codec<SnapshotRow>::decode(Codec<SnapshotRow>::encode(row));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  expect_equal(*back, row);
  EXPECT_EQ(back->parents(), row.stacked_on);
}

TEST(SnapshotRows, AForkComesBackAsItWas) {
  SnapshotRow row;
  row.parent = SnapshotId(77);
  row.marks.opaque = true;
  const auto back = Codec<SnapshotRow>::decode(Codec<SnapshotRow>::encode(row));
  ASSERT_TRUE(back.has_value()) << back.error().message;
  expect_equal(*back, row);
  EXPECT_EQ(back->parents(), std::vector{SnapshotId(77)});
}

TEST(SnapshotRows, Version1IsRead) {
  const auto bytes = ByteWriter().u8(1).u8(3).u64(5).i64(4096).i64(2).u32(1).take();
  const auto row = Codec<SnapshotRow>::decode(bytes);
  ASSERT_TRUE(row.has_value()) << row.error().message;
  SnapshotRow should;
  should.parent = SnapshotId(5);
  should.usage = should.exclusive = {.bytes = 4096, .inodes = 2, .logical_bytes = 4096};
  should.shape = Shape::stacked;
  should.flattened = true;
  should.marks = {.opaque = true, .whiteouts = true};  // nobody looked
  should.created = should.updated = base::WallTime{};
  expect_equal(*row, should);

  const auto complete = Codec<SnapshotRow>::decode(ByteWriter().u8(1).u8(0).u64(0).i64(1).i64(1).u32(1).take());
  ASSERT_TRUE(complete.has_value());
  EXPECT_EQ(complete->marks, LayerMarks{}) << "a complete tree holds no marks";

  const auto trash = Codec<TrashRow>::decode(ByteWriter().u8(1).i64(512).i64(1).take());
  ASSERT_TRUE(trash.has_value());
  EXPECT_EQ(trash->usage, (Usage{.bytes = 512, .inodes = 1, .logical_bytes = 512}));
}

TEST(SnapshotRows, EveryPrefixAndEveryTailIsRefused) {
  const auto bytes = Codec<SnapshotRow>::encode(full_row());
  for (std::size_t size = 0; size < bytes.size(); ++size) expect_corrupt<SnapshotRow>(bytes.substr(0, size));
  expect_corrupt<SnapshotRow>(bytes + "x");
  const auto trash = Codec<TrashRow>::encode(TrashRow{});
  for (std::size_t size = 0; size < trash.size(); ++size) expect_corrupt<TrashRow>(trash.substr(0, size));
  expect_corrupt<TrashRow>(trash + "x");
}

TEST(SnapshotRows, WhatMakesNoSenseIsRefused) {
  const auto with = [](auto change) {
    SnapshotRow row = full_row();
    change(row);
    return Codec<SnapshotRow>::encode(row);
  };
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.depth = 0; }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.parent = SnapshotId(1); }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.shape = Shape::complete; }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.stacked_on[0] = SnapshotId(); }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.stacked_on.assign(stacked_on_max + 1, SnapshotId(1)); }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.labels = {{"", "x"}}; }));
  expect_corrupt<SnapshotRow>(with([](SnapshotRow& row) { row.labels = {{"k", std::string(4096, 'x')}}; }));
  auto bytes = Codec<SnapshotRow>::encode(full_row());
  for (const char version : {0, 3, 127}) {
    bytes[0] = version;
    expect_corrupt<SnapshotRow>(bytes);
  }
  bytes[0] = 2;
  bytes[1] = 16;
  expect_corrupt<SnapshotRow>(bytes);
  expect_corrupt<SnapshotRow>(ByteWriter().u8(1).u8(4).u64(0).i64(0).i64(0).u32(1).take());
}

TEST(SnapshotRows, LabelsAreInOrder) {
  SnapshotRow row;
  row.labels = {{"ka", "1"}, {"kb", "2"}};
  auto bytes = Codec<SnapshotRow>::encode(row);
  bytes[bytes.find("kb") + 1] = 'a';  // the same label twice
  expect_corrupt<SnapshotRow>(bytes);
}

TEST(SnapshotRows, LabelsAreBounded) {
  EXPECT_TRUE(check_labels({{"k", std::string(4095, 'x')}}).has_value());
  EXPECT_FALSE(check_labels({{"k", std::string(4096, 'x')}}).has_value());
  EXPECT_FALSE(check_labels({{"", "x"}}).has_value());
  Labels many;
  for (int i = 0; i < 17; ++i) many["key " + std::to_string(i)] = std::string(4000, 'x');
  EXPECT_FALSE(check_labels(many).has_value());
}

}  // namespace
}  // namespace cairn::snapshot
