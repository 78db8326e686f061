// SPDX-License-Identifier: Apache-2.0
// Formats that are only read, from bytes that the programs of others have written.
#include "libbase/compress/archive_decoder.h"

#include <limits>

#include <gmock/gmock.h>

#include "tests/libbase/byte_pieces.h"

namespace cairn::base {
namespace {

using enum ArchiveCompression;

constexpr std::uint64_t no_bound = std::numeric_limits<std::uint64_t>::max();

// "hello\n", and a MiB of zeros, by Python's lzma and bz2.
const std::string xz_hello(
    "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00\x74\x2f\xe5\xa3"
    "\x01\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x00\x00\xa5\x60\x97\xf1\x94\xf6\xfd\xe0\x00\x01\x1e\x06"
    "\xc1\x2f\xa4\x1d\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a",
    64);
const std::string bzip2_hello(
    "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\xc1\xc0\x80\xe2\x00\x00\x01\x41\x00\x00\x10\x02\x44\xa0"
    "\x00\x30\xcd\x00\xc3\x46\x29\x97\x17\x72\x45\x38\x50\x90\xc1\xc0\x80\xe2",
    42);
const std::string xz_zeros(
    "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x1c\x00\x00\x00\x10\xcf\x58\xcc"
    "\xef\xff\xff\x00\xd9\x5d\x00\x00\x6f\xfd\xff\xff\xa3\xb7\xff\x47\x3e\x48\x15\x72\x39\x61\x51\xb8"
    "\x92\x28\xe6\xa3\x86\x07\xf9\xee\xe4\x1e\x82\xd3\x2f\xc5\x3a\x3c\x01\x4b\xb1\x7e\xc9\x8a\x8a\x4d"
    "\x2f\xa3\x0d\xd9\x7f\xa6\xe3\x8c\x23\x11\x53\xe0\x59\x18\xc5\x75\x8a\xe2\x77\xf8\xb6\x94\x7f\x0c"
    "\x6a\xc0\xde\x74\x49\x64\xe2\xe9\x5c\x53\xb2\x04\xd8\xf7\x44\x0c\xab\x5f\x0d\x6d\x46\xe9\xe5\xc3"
    "\x76\x88\xb7\x96\x57\xac\xb6\x4d\xe1\x69\x1d\x6f\xfb\x4b\x88\x10\x6c\x42\xcb\x88\x3f\x5c\x00\x8f"
    "\xd0\x4e\xaf\x26\x28\x94\x71\x1f\x3d\x8f\x24\xe1\x70\x9e\xa7\x23\x5f\xec\x28\xcb\x85\xd1\x95\x98"
    "\x8a\x7e\x2a\x91\xf2\x27\x75\xf7\x19\xc0\x06\x98\x4d\x98\xfd\xd8\xaf\xd5\x90\x0f\xc4\x25\x53\xf8"
    "\xf5\x91\x36\x31\x05\xa5\xb0\xee\x6f\xc1\x70\x4d\x47\x0c\xd1\x91\x11\xaa\xad\x60\x1d\xba\xce\xb1"
    "\x27\x18\x5c\x59\x86\xe9\x66\x52\x58\xbe\xe9\x76\xac\x59\xe4\xe5\x5b\x05\x08\xf9\xc7\xda\xad\xfc"
    "\xfb\x52\x2a\xf7\xe4\x95\x25\x00\x00\x00\x00\x00\xc2\xf6\xba\x3e\xa2\x70\x6b\x60\x00\x01\xf5\x01"
    "\x80\x80\x40\x00\x79\x97\x7f\x47\xb1\xc4\x67\xfb\x02\x00\x00\x00\x00\x04\x59\x5a",
    284);
const std::string bzip2_zeros(
    "\x42\x5a\x68\x39\x31\x41\x59\x26\x53\x59\x38\x57\x1c\xe5\x00\x08\x08\x40\x00\xc0\x04\x00\x08\x20"
    "\x00\x30\xcc\x05\x29\xa6\x08\x06\xc4\x20\x1e\x2e\xe4\x8a\x70\xa1\x20\x70\xae\x39\xca",
    45);
// "hello\n" for whose dictionary a decoder would have to take 192 MiB.
const std::string xz_large_dictionary(
    "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x1f\x00\x00\x00\xfe\x60\xed\xde"
    "\x01\x00\x05\x68\x65\x6c\x6c\x6f\x0a\x00\x00\x00\xa5\x60\x97\xf1\x94\xf6\xfd\xe0\x00\x01\x1e\x06"
    "\xc1\x2f\xa4\x1d\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a",
    64);

Result<std::string> decompress(ArchiveCompression format, const std::string& bytes, std::uint64_t output_max, std::size_t piece = 4096,
                               std::size_t room = 4096) {
  const auto decoder = make_archive_decoder(format, std::make_unique<PieceSource>(bytes, piece), output_max);
  return read_to_end(*decoder, room);
}
ErrorCode code_of(const Result<std::string>& result) { return result ? ErrorCode{-1} : result.error().code; }

class ArchiveDecoderTest : public testing::TestWithParam<ArchiveCompression> {
 protected:
  const ArchiveCompression format_ = GetParam();
  const std::string& hello_ = format_ == xz ? xz_hello : bzip2_hello;
  const std::string& zeros_ = format_ == xz ? xz_zeros : bzip2_zeros;
};
INSTANTIATE_TEST_SUITE_P(Formats, ArchiveDecoderTest, testing::Values(xz, bzip2),
                         [](const auto& tested) { return tested.param == xz ? "xz" : "bzip2"; });

TEST(DetectArchiveTest, tells_formats_by_their_first_bytes) {
  EXPECT_EQ(detect_archive_compression(xz_hello), xz);
  EXPECT_EQ(detect_archive_compression(xz_hello.substr(0, 6)), xz);
  EXPECT_EQ(detect_archive_compression(xz_hello.substr(0, 5)), none);
  EXPECT_EQ(detect_archive_compression(bzip2_hello), bzip2);
  EXPECT_EQ(detect_archive_compression("BZh"), bzip2);
  EXPECT_EQ(detect_archive_compression("BZ"), none);
  EXPECT_EQ(detect_archive_compression("\x1f\x8b\x08_"), gzip);
  EXPECT_EQ(detect_archive_compression("\x28\xb5\x2f\xfd"), zstd);
  EXPECT_EQ(detect_archive_compression("plain text"), none);
  EXPECT_EQ(detect_archive_compression(""), none);
}

TEST(ArchiveDecoderDetailTest, formats_of_layers_are_read_as_there) {
  for (const auto& [format, as] : {std::pair(none, Compression::none), std::pair(gzip, Compression::gzip), std::pair(zstd, Compression::zstd)}) {
    EXPECT_EQ(decompress(format, compress(as, "a text").value(), 6).value(), "a text");
    EXPECT_EQ(code_of(decompress(format, compress(as, "a text").value(), 5)), ErrorCode::invalid_argument);
  }
}

TEST_P(ArchiveDecoderTest, pieces_of_any_size_give_the_same_bytes) {
  for (const std::size_t piece : {1, 2, 3, 7, 64, 4096}) {
    for (const std::size_t room : {1, 2, 13, 4096, 1 << 21}) {
      EXPECT_EQ(decompress(format_, hello_, no_bound, piece, room).value(), "hello\n") << piece << " in, " << room << " out";
      if (room == 1) continue;  // byte by byte a MiB takes too long to be worth it
      EXPECT_EQ(decompress(format_, zeros_, no_bound, piece, room).value(), std::string(1 << 20, '\0'));
    }
  }
}

TEST_P(ArchiveDecoderTest, streams_in_a_row_are_one) {
  for (const std::size_t piece : {1, 5, 4096}) {
    EXPECT_EQ(decompress(format_, hello_ + zeros_ + hello_, no_bound, piece).value(), "hello\n" + std::string(1 << 20, '\0') + "hello\n");
  }
}

TEST_P(ArchiveDecoderTest, every_truncation_is_corrupt) {
  for (std::size_t size = 0; size < hello_.size(); ++size) {
    ASSERT_EQ(code_of(decompress(format_, hello_.substr(0, size), no_bound)), ErrorCode::corrupt) << size;
    if (size == 0) continue;
    ASSERT_EQ(code_of(decompress(format_, hello_ + hello_.substr(0, size), no_bound)), ErrorCode::corrupt) << size;
  }
}

TEST_P(ArchiveDecoderTest, a_changed_bit_never_gives_another_text) {
  std::size_t told = 0;
  for (std::size_t at = 0; at < hello_.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string damaged = hello_;
      damaged[at] = static_cast<char>(damaged[at] ^ (1 << bit));
      const auto result = decompress(format_, damaged, 1 << 20);
      told += result ? 0 : 1;
      ASSERT_EQ(result.value_or("hello\n"), "hello\n") << at << ", bit " << bit;
    }
  }
  EXPECT_GT(told, 8 * hello_.size() * 3 / 4) << "all but what pads and what says how large blocks may be";
}

TEST_P(ArchiveDecoderTest, something_else_is_corrupt) {
  EXPECT_EQ(code_of(decompress(format_, "this is plain text", no_bound)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(decompress(format_, hello_ + "garbage behind it", no_bound)), ErrorCode::corrupt);
}

TEST_P(ArchiveDecoderTest, output_is_bounded_exactly) {
  EXPECT_EQ(decompress(format_, zeros_, 1 << 20).value().size(), 1u << 20);
  EXPECT_EQ(code_of(decompress(format_, zeros_, (1 << 20) - 1)), ErrorCode::invalid_argument);
  EXPECT_EQ(code_of(decompress(format_, zeros_, 0)), ErrorCode::invalid_argument);
}

TEST_P(ArchiveDecoderTest, errors_stay_and_those_of_the_source_come_through) {
  const auto truncated = make_archive_decoder(format_, std::make_unique<PieceSource>(hello_.substr(0, hello_.size() - 1), 10), no_bound);
  EXPECT_EQ(code_of(read_to_end(*truncated, 4096)), ErrorCode::corrupt);
  EXPECT_EQ(code_of(read_to_end(*truncated, 4096)), ErrorCode::corrupt);
  const auto cut = make_archive_decoder(format_, std::make_unique<PieceSource>(hello_.substr(0, 20), 10, PieceSource::End::error), no_bound);
  EXPECT_EQ(read_to_end(*cut, 4096).error().message, "the network is gone");
}

TEST(ArchiveDecoderDetailTest, xz_pads_its_streams_in_fours) {
  EXPECT_EQ(decompress(xz, xz_hello + std::string(4, '\0') + xz_hello + std::string(8, '\0'), no_bound).value(), "hello\nhello\n");
  EXPECT_EQ(code_of(decompress(xz, xz_hello + std::string(3, '\0'), no_bound)), ErrorCode::corrupt);
}

TEST(ArchiveDecoderDetailTest, xz_takes_no_more_memory_than_a_window_of_zstd) {
  const auto result = decompress(xz, xz_large_dictionary, no_bound);
  ASSERT_FALSE(result);
  EXPECT_EQ(result.error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(result.error().message, "xz: a dictionary above 128 MiB");
}

}  // namespace
}  // namespace cairn::base
