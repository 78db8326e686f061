// SPDX-License-Identifier: Apache-2.0
// Sources and bytes for the tests of compression.
#pragma once

#include <algorithm>
#include <cstring>
#include <memory>
#include <random>
#include <string>
#include <string_view>

#include "libbase/compress/decoder.h"

namespace cairn::base {

// Gives at most `piece` bytes at a time and, if asked to, an error at the end instead of the end.
class PieceSource final : public ByteSource {
 public:
  enum class End { clean, error };
  PieceSource(std::string bytes, std::size_t piece, End end = End::clean)
      : bytes_(std::move(bytes)), piece_(piece), end_(end) {}

  Result<std::size_t> read(std::span<std::byte> out) override {
    const std::size_t count = std::min({out.size(), bytes_.size() - at_, piece_});
    if (count == 0 && end_ == End::error) return fail(ErrorCode::unavailable, "the network is gone");
    if (count > 0) std::memcpy(out.data(), bytes_.data() + at_, count);
    at_ += count;
    return count;
  }

 private:
  const std::string bytes_;
  const std::size_t piece_;
  const End end_;
  std::size_t at_ = 0;
};

// Reads to the end with a buffer of `piece` bytes.
inline Result<std::string> read_to_end(ByteSource& source, std::size_t piece) {
  std::string out, buffer(piece, '\0');
  while (true) {
    const std::size_t count = TRY(source.read(std::as_writable_bytes(std::span(buffer))));
    if (count == 0) return out;
    out.append(buffer, 0, count);
  }
}

// Compressible and not periodic.
inline std::string make_text(std::size_t size) {
  std::mt19937 random(11);
  std::string text;
  while (text.size() < size) text += std::to_string(random() % 5000) + ' ';
  text.resize(size);
  return text;
}

// Not compressible.
inline std::string make_noise(std::size_t size) {
  std::mt19937 random(13);
  std::string noise(size, '\0');
  for (char& byte : noise) byte = static_cast<char>(random());
  return noise;
}

}  // namespace cairn::base
