// SPDX-License-Identifier: Apache-2.0
#include <limits>
#include <tuple>

#include <gmock/gmock.h>

#include "libbase/compress/decoder.h"
#include "tests/libbase/byte_pieces.h"

namespace cairn::base {
namespace {

constexpr std::uint64_t no_bound = std::numeric_limits<std::uint64_t>::max();

class EncoderTest : public testing::TestWithParam<std::tuple<Compression, int>> {
 protected:
  const Compression format_ = std::get<0>(GetParam());
  const int level_ = std::get<1>(GetParam());
};
INSTANTIATE_TEST_SUITE_P(Gzip, EncoderTest,
                         testing::Combine(testing::Values(Compression::gzip),
                                          testing::Values(-1, 0, 1, 2, 5, 6, 9, 99)));
INSTANTIATE_TEST_SUITE_P(Zstd, EncoderTest,
                         testing::Combine(testing::Values(Compression::zstd), testing::Values(-5, 0, 1, 3, 9)));
INSTANTIATE_TEST_SUITE_P(None, EncoderTest, testing::Combine(testing::Values(Compression::none), testing::Values(0)));

TEST_P(EncoderTest, what_is_written_in_pieces_is_read_back) {
  const std::string text = make_text(300'000) + make_noise(200'000);
  for (const std::size_t piece : {1'000, 70'001, 1'000'000}) {
    std::string packed;
    const auto encoder = make_encoder(
        format_,
        [&](std::string_view bytes) -> Status {
          EXPECT_FALSE(bytes.empty());
          packed += bytes;
          return {};
        },
        level_);
    ASSERT_TRUE(encoder->write(""));
    for (std::size_t at = 0; at < text.size(); at += piece) {
      ASSERT_TRUE(encoder->write(std::string_view(text).substr(at, piece)));
    }
    ASSERT_TRUE(encoder->finish());
    EXPECT_EQ(detect_compression(packed), format_);
    EXPECT_EQ(decompress(format_, packed, no_bound).value(), text);
  }
}

TEST_P(EncoderTest, nothing_is_a_stream_too) {
  const std::string packed = compress(format_, "", level_).value();
  EXPECT_EQ(packed.empty(), format_ == Compression::none);
  EXPECT_EQ(decompress(format_, packed, 0).value(), "");
}

TEST_P(EncoderTest, equal_input_gives_equal_output) {
  const std::string text = make_text(100'000);
  EXPECT_EQ(compress(format_, text, level_).value(), compress(format_, text, level_).value());
}

TEST_P(EncoderTest, an_error_of_the_sink_comes_back) {
  std::size_t room = 100'000;
  const auto sink = [&](std::string_view bytes) -> Status {
    if (bytes.size() > room) return fail(ErrorCode::no_space, "the disk is full");
    room -= bytes.size();
    return {};
  };
  const auto encoder = make_encoder(format_, sink, level_);
  Status status = encoder->write(make_noise(1'000'000));
  if (status) status = encoder->finish();
  ASSERT_FALSE(status);
  EXPECT_EQ(status.error().code, ErrorCode::no_space);
}

TEST_P(EncoderTest, any_number_of_threads_gives_the_same_bytes) {
  const std::string text = make_text(2'500'000) + make_noise(2'000'000) + make_text(100'000);
  const auto pack = [&](unsigned threads, std::size_t piece) {
    std::string packed;
    const auto encoder = make_parallel_encoder(
        format_,
        [&](std::string_view bytes) -> Status {
          packed += bytes;
          return {};
        },
        level_, threads);
    for (std::size_t at = 0; at < text.size(); at += piece) {
      EXPECT_TRUE(encoder->write(std::string_view(text).substr(at, piece)));
    }
    EXPECT_TRUE(encoder->finish());
    return packed;
  };
  const std::string one = pack(1, text.size());
  EXPECT_EQ(decompress(format_, one, no_bound).value(), text);
  EXPECT_EQ(pack(2, 70'001), one);
  EXPECT_EQ(pack(7, 1'000'000), one);
}

// Also with work under way on threads that nobody waits for any more.
TEST_P(EncoderTest, an_encoder_can_be_given_up) {
  int pieces = 0;
  const auto encoder = make_parallel_encoder(
      format_,
      [&](std::string_view) -> Status {
        if (format_ != Compression::none && ++pieces > 1) return fail(ErrorCode::no_space, "the disk is full");
        return {};
      },
      level_, 2);
  Status status = encoder->write(make_noise(3'000'000));
  if (status) status = encoder->write(make_noise(5'000'000));
  if (status) status = encoder->finish();
  EXPECT_EQ(status.has_value(), format_ == Compression::none);
}

TEST(EncoderLevelTest, higher_levels_are_denser) {
  const std::string text = make_text(300'000);
  const auto size = [&](Compression format, int level) { return compress(format, text, level).value().size(); };
  EXPECT_LT(size(Compression::gzip, 6), size(Compression::gzip, 1));
  EXPECT_LE(size(Compression::gzip, 9), size(Compression::gzip, 6));
  EXPECT_EQ(size(Compression::gzip, 99), size(Compression::gzip, 9));
  EXPECT_LT(size(Compression::zstd, 9), size(Compression::zstd, 1));
  EXPECT_EQ(size(Compression::zstd, 0), size(Compression::zstd, 3));
  EXPECT_LT(size(Compression::zstd, 1), size(Compression::zstd, -2'000'000'000));
}

TEST(EncoderDeathTest, finish_is_the_last_call) {
  for (const auto& [format, level] :
       {std::pair(Compression::gzip, 1), {Compression::gzip, 6}, {Compression::zstd, 1}}) {
    const auto encoder = make_encoder(
        format, [](std::string_view) { return Status(); }, level);
    ASSERT_TRUE(encoder->finish());
    EXPECT_DEATH(static_cast<void>(encoder->write("x")), "write after finish");
    EXPECT_DEATH(static_cast<void>(encoder->finish()), "finish twice");
  }
}

}  // namespace
}  // namespace cairn::base
