// SPDX-License-Identifier: Apache-2.0
#include "libbase/compress/decoder.h"

#include <limits>

#include <gmock/gmock.h>

#include "tests/libbase/byte_pieces.h"

namespace cairn::base {
namespace {

constexpr std::uint64_t no_bound = std::numeric_limits<std::uint64_t>::max();

// "hello\n" by another implementation of each format, so that two mistakes of ours cannot cancel out.
const std::string gzip_hello(
    "\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\xcb\x48\xcd\xc9\xc9\xe7\x02\x00\x20\x30\x3a\x36\x06"
    "\x00\x00\x00",
    26);
const std::string zstd_hello("\x28\xb5\x2f\xfd\x20\x06\x31\x00\x00hello\n", 15);

class DecoderTest : public testing::TestWithParam<Compression> {
 protected:
  const Compression format_ = GetParam();
};
INSTANTIATE_TEST_SUITE_P(Formats, DecoderTest, testing::Values(Compression::gzip, Compression::zstd),
                         [](const auto& tested) { return tested.param == Compression::gzip ? "gzip" : "zstd"; });

ErrorCode code_of(const Result<std::string>& result) { return result ? ErrorCode{-1} : result.error().code; }

TEST(DetectTest, tells_formats_by_their_first_bytes) {
  EXPECT_EQ(detect_compression(gzip_hello), Compression::gzip);
  EXPECT_EQ(detect_compression(zstd_hello), Compression::zstd);
  EXPECT_EQ(detect_compression(std::string("\x50\x2a\x4d\x18\0\0\0\0", 8)), Compression::zstd);
  EXPECT_EQ(detect_compression(std::string("\x5f\x2a\x4d\x18\0\0\0\0", 8)), Compression::zstd);
  EXPECT_EQ(detect_compression(std::string("\x60\x2a\x4d\x18\0\0\0\0", 8)), Compression::none);
  EXPECT_EQ(detect_compression(gzip_hello.substr(0, 3)), Compression::none);
  EXPECT_EQ(detect_compression("\x1f\x8b\x07_unknown method"), Compression::none);
  EXPECT_EQ(detect_compression(""), Compression::none);
  EXPECT_EQ(detect_compression("plain text"), Compression::none);
}

TEST(DecoderDetailTest, reads_what_others_wrote) {
  EXPECT_EQ(decompress(Compression::gzip, gzip_hello, 100).value(), "hello\n");
  EXPECT_EQ(decompress(Compression::zstd, zstd_hello, 100).value(), "hello\n");
}

TEST_P(DecoderTest, pieces_of_any_size_give_the_same_bytes) {
  const std::string text = make_text(70'000) + make_noise(10'000);
  const std::string packed = compress(format_, text).value();
  for (const std::size_t piece : {1, 2, 3, 7, 64, 1000, 1 << 20}) {
    for (const std::size_t room : {1, 2, 13, 4096, 1 << 20}) {
      if (piece * room < 10) continue;  // byte by byte on both sides takes too long to be worth it
      const auto decoder = make_decoder(format_, std::make_unique<PieceSource>(packed, piece), no_bound);
      EXPECT_EQ(read_to_end(*decoder, room).value(), text) << piece << " in, " << room << " out";
    }
  }
}

TEST_P(DecoderTest, a_read_fills_its_buffer) {
  const std::string text = make_text(100'000);
  const auto decoder =
      make_decoder(format_, std::make_unique<PieceSource>(compress(format_, text).value(), 10), no_bound);
  std::string out(60'000, '\0');
  EXPECT_EQ(decoder->read(std::as_writable_bytes(std::span(out))).value(), 60'000u);
  EXPECT_EQ(decoder->read(std::as_writable_bytes(std::span(out))).value(), 40'000u);
  EXPECT_EQ(decoder->read(std::as_writable_bytes(std::span(out))).value(), 0u);
  EXPECT_EQ(decoder->read(std::as_writable_bytes(std::span(out))).value(), 0u);
}

TEST_P(DecoderTest, members_in_a_row_are_one_stream) {
  const std::string one = compress(format_, "one ").value(), nothing = compress(format_, "").value(),
                    big = compress(format_, make_text(200'000)).value();
  EXPECT_EQ(decompress(format_, one + one + nothing + big + one, no_bound).value(),
            "one one " + make_text(200'000) + "one ");
  const auto decoder = make_decoder(format_, std::make_unique<PieceSource>(one + nothing + one, 1), no_bound);
  EXPECT_EQ(read_to_end(*decoder, 3).value(), "one one ");
}

TEST_P(DecoderTest, every_truncation_is_corrupt) {
  const std::string packed = compress(format_, make_text(3000)).value();
  for (std::size_t size = 0; size < packed.size(); ++size) {
    const auto result = decompress(format_, packed.substr(0, size), no_bound);
    ASSERT_EQ(code_of(result), ErrorCode::corrupt) << size << " of " << packed.size();
  }
  EXPECT_EQ(code_of(decompress(format_, packed + packed.substr(0, packed.size() / 2), no_bound)), ErrorCode::corrupt);
}

TEST_P(DecoderTest, a_changed_byte_of_the_contents_is_corrupt) {
  // Noise is stored as it is, so that only a checksum can tell.
  const std::string packed = compress(format_, make_noise(5000)).value();
  for (std::size_t at = 100; at < packed.size(); at += 97) {
    std::string damaged = packed;
    damaged[at] = static_cast<char>(damaged[at] ^ 0x10);
    ASSERT_EQ(code_of(decompress(format_, damaged, no_bound)), ErrorCode::corrupt) << at;
  }
  std::string damaged = packed;
  damaged.back() = static_cast<char>(damaged.back() ^ 1);
  EXPECT_EQ(code_of(decompress(format_, damaged, no_bound)), ErrorCode::corrupt);
}

TEST_P(DecoderTest, something_else_is_corrupt) {
  const std::string packed = compress(format_, "text").value();
  EXPECT_EQ(code_of(decompress(format_, "this is plain text", no_bound)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(decompress(format_, packed + "garbage behind it", no_bound)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(decompress(format_, packed + std::string(64, '\0'), no_bound)), ErrorCode::corrupt);
}

TEST_P(DecoderTest, output_is_bounded_exactly) {
  const std::string text(1'000'000, 'x');
  const std::string packed = compress(format_, text).value();
  EXPECT_EQ(decompress(format_, packed, text.size()).value().size(), text.size());
  EXPECT_EQ(code_of(decompress(format_, packed, text.size() - 1)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(decompress(format_, packed, 0)), ErrorCode::invalid_argument);
  EXPECT_EQ(decompress(format_, compress(format_, "").value(), 0).value(), "");
}

TEST_P(DecoderTest, an_error_is_repeated_for_ever) {
  const std::string packed = compress(format_, make_text(1000)).value();
  const auto decoder =
      make_decoder(format_, std::make_unique<PieceSource>(packed.substr(0, packed.size() - 1), 100), no_bound);
  EXPECT_EQ(code_of(read_to_end(*decoder, 4096)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(read_to_end(*decoder, 4096)), ErrorCode::corrupt);
}

TEST_P(DecoderTest, an_error_of_the_source_comes_through) {
  const std::string packed = compress(format_, make_text(1000)).value();
  const auto decoder =
      make_decoder(format_, std::make_unique<PieceSource>(packed.substr(0, 50), 10, PieceSource::End::error), no_bound);
  EXPECT_EQ(read_to_end(*decoder, 4096).error().message, "the network is gone");
}

TEST(DecoderDetailTest, none_passes_bytes_on_and_bounds_them) {
  EXPECT_EQ(decompress(Compression::none, "plain", 5).value(), "plain");
  EXPECT_EQ(decompress(Compression::none, "", 5).value(), "");
  EXPECT_EQ(code_of(decompress(Compression::none, "plain", 4)), ErrorCode::invalid_argument);
}

TEST(DecoderDetailTest, a_gzip_header_may_have_all_its_fields) {
  // FEXTRA, FNAME, FCOMMENT: 3 bytes of extra, then two texts.
  const std::string header("\x1f\x8b\x08\x1c\x01\x02\x03\x04\x00\x03\x03\x00xyzname\0comment\0", 28);
  const std::string member = header + gzip_hello.substr(10);
  EXPECT_EQ(decompress(Compression::gzip, member + member, 100).value(), "hello\nhello\n");
  for (std::size_t piece = 1; piece < member.size(); ++piece) {
    const auto decoder = make_decoder(Compression::gzip, std::make_unique<PieceSource>(member + member, piece), 100);
    EXPECT_EQ(read_to_end(*decoder, 5).value(), "hello\nhello\n") << piece;
  }
}

TEST(DecoderDetailTest, a_zstd_frame_that_says_another_size_is_corrupt) {
  const std::string frame("\x28\xb5\x2f\xfd\x20\x90\x01\x00\x00", 9);  // says 144 bytes, holds one empty block
  for (std::size_t piece = 1; piece <= frame.size(); ++piece) {
    const auto decoder = make_decoder(Compression::zstd, std::make_unique<PieceSource>(frame, piece), no_bound);
    EXPECT_EQ(code_of(read_to_end(*decoder, 1000)), ErrorCode::corrupt) << piece;
  }
}

TEST(DecoderDetailTest, skippable_zstd_frames_are_skipped) {
  const std::string skippable("\x53\x2a\x4d\x18\x04\0\0\0abcd", 12);
  EXPECT_EQ(decompress(Compression::zstd, skippable + zstd_hello + skippable + zstd_hello + skippable, 100).value(),
            "hello\nhello\n");
}

TEST(DecoderDetailTest, a_zstd_window_above_128_mib_is_refused) {
  const auto frame = [](int window_log) {  // header without content size, then one raw block of "a", the last
    std::string bytes("\x28\xb5\x2f\xfd\x00", 5);
    bytes += static_cast<char>((window_log - 10) << 3);
    return bytes + std::string(
                       "\x09\x00\x00"
                       "a",
                       4);
  };
  EXPECT_EQ(decompress(Compression::zstd, frame(27), 100).value(), "a");
  EXPECT_EQ(code_of(decompress(Compression::zstd, frame(28), 100)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(decompress(Compression::zstd, frame(31), 100)), ErrorCode::invalid_argument);
}

}  // namespace
}  // namespace cairn::base
