// SPDX-License-Identifier: Apache-2.0
#include "libcache/patterns/utf8.h"

#include <cstdint>

namespace cairn::cache {
namespace {

std::uint8_t byte_at(std::string_view text, std::size_t index) { return static_cast<std::uint8_t>(text[index]); }

bool is_continuation(std::uint8_t byte) { return (byte & 0xc0) == 0x80; }

// How long a sequence its first byte promises, and the least value that needs that length.
struct Shape {
  std::size_t width;
  char32_t least;
  std::uint8_t mask;
};

Shape shape_of(std::uint8_t first) {
  if ((first & 0xe0) == 0xc0) return {2, 0x80, 0x1f};
  if ((first & 0xf0) == 0xe0) return {3, 0x800, 0x0f};
  if ((first & 0xf8) == 0xf0) return {4, 0x10000, 0x07};
  return {0, 0, 0};
}

}  // namespace

Rune decode_rune(std::string_view text) {
  if (text.empty()) return {};
  const std::uint8_t first = byte_at(text, 0);
  if (first < 0x80) return {first, 1};
  const Rune invalid{replacement_rune, 1};
  const Shape shape = shape_of(first);
  if (shape.width == 0 || text.size() < shape.width) return invalid;
  char32_t value = first & shape.mask;
  for (std::size_t i = 1; i < shape.width; ++i) {
    if (!is_continuation(byte_at(text, i))) return invalid;
    value = (value << 6) | (byte_at(text, i) & 0x3f);
  }
  const bool is_surrogate = value >= 0xd800 && value <= 0xdfff;
  if (value < shape.least || value > last_rune || is_surrogate) return invalid;
  return {value, shape.width};
}

void append_rune(std::string& text, char32_t rune) {
  const auto put = [&text](char32_t byte) { text.push_back(static_cast<char>(static_cast<std::uint8_t>(byte))); };
  if (rune < 0x80) {
    put(rune);
  } else if (rune < 0x800) {
    put(0xc0 | (rune >> 6));
    put(0x80 | (rune & 0x3f));
  } else if (rune < 0x10000) {
    put(0xe0 | (rune >> 12));
    put(0x80 | ((rune >> 6) & 0x3f));
    put(0x80 | (rune & 0x3f));
  } else {
    put(0xf0 | (rune >> 18));
    put(0x80 | ((rune >> 12) & 0x3f));
    put(0x80 | ((rune >> 6) & 0x3f));
    put(0x80 | (rune & 0x3f));
  }
}

}  // namespace cairn::cache
