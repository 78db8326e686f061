// SPDX-License-Identifier: Apache-2.0
// Compressed bytes from anywhere: a decoder ends with at most the bytes allowed, and says the same however its input
// and output are cut into pieces. The first byte of the input is the size of the pieces.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/compress/archive_decoder.h"

namespace {

using namespace cairn::base;

constexpr std::uint64_t output_max = 1 << 20;

class PieceSource final : public ByteSource {
 public:
  PieceSource(std::string_view bytes, std::size_t piece) : rest_(bytes), piece_(piece) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), rest_.size(), piece_});
    if (count > 0) std::memcpy(out.data(), rest_.data(), count);
    rest_.remove_prefix(count);
    return count;
  }

 private:
  std::string_view rest_;
  std::size_t piece_;
};

Result<std::string> decode_in_pieces(ArchiveCompression compression, std::string_view bytes, std::size_t piece, std::size_t room) {
  const auto decoder = make_archive_decoder(compression, std::make_unique<PieceSource>(bytes, piece), output_max);
  std::string out;
  std::vector<std::byte> buffer(room);
  while (true) {
    const Result<std::size_t> count = decoder->read(buffer);
    if (!count) {
      CHECK(!decoder->read(buffer), "an error is not repeated");
      return tl::unexpected(count.error());
    }
    if (*count == 0) return out;
    out.append(reinterpret_cast<const char*>(buffer.data()), *count);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = std::size_t{data[0]} + 1;
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  detect_compression(bytes);
  detect_archive_compression(bytes);
  using enum ArchiveCompression;
  for (const ArchiveCompression compression : {none, gzip, zstd, xz, bzip2}) {
    const Result<std::string> whole = decode_in_pieces(compression, bytes, bytes.size(), 4096);
    const Result<std::string> pieces = decode_in_pieces(compression, bytes, piece, piece);
    CHECK(whole.has_value() == pieces.has_value(), "whole: {}, pieces: {}", whole ? "ok" : whole.error().message,
          pieces ? "ok" : pieces.error().message);
    if (!whole) continue;
    CHECK(*whole == *pieces);
    CHECK(whole->size() <= output_max);
  }
  return 0;
}
