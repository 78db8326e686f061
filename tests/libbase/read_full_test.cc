// SPDX-License-Identifier: Apache-2.0
#include "libbase/read_full.h"

#include <gtest/gtest.h>

#include "tests/libbase/byte_pieces.h"

namespace cairn::base {
namespace {

TEST(ReadFull, FillsTheBufferFromPiecesAndTakesNoMore) {
  PieceSource source("0123456789", 3);
  std::string buffer(7, '\0');
  EXPECT_EQ(read_full(source, std::span<char>(buffer)).value(), 7u);
  EXPECT_EQ(buffer, "0123456");
  EXPECT_EQ(read_full(source, std::span<char>(buffer)).value(), 3u);  // less: it has ended
  EXPECT_EQ(buffer.substr(0, 3), "789");
  EXPECT_EQ(read_full(source, std::span<char>(buffer)).value(), 0u);
}

TEST(ReadFull, PassesOnWhatTheSourceFailsWith) {
  PieceSource source("0123", 3, PieceSource::End::error);
  std::string buffer(4, '\0');
  EXPECT_EQ(read_full(source, std::span<char>(buffer)).value(), 4u);
  EXPECT_EQ(read_full(source, std::span<char>(buffer)).error().code, ErrorCode::unavailable);
}

TEST(ReadFull, AsksNothingForNoRoom) {
  PieceSource source("", 1, PieceSource::End::error);
  EXPECT_EQ(read_full(source, std::span<std::byte>()).value(), 0u);
}

}  // namespace
}  // namespace cairn::base
