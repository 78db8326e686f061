// SPDX-License-Identifier: Apache-2.0
// Decoding of UTF-8 the way Go does it: a byte that begins no valid sequence is U+FFFD of width 1, so any bytes can be
// read as runes. Patterns are defined over such runes.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace cairn::cache {

inline constexpr char32_t replacement_rune = 0xfffd;
inline constexpr char32_t last_rune = 0x10ffff;

struct Rune {
  char32_t value = replacement_rune;
  std::size_t width = 0;  // 0 only at the end of the text
  bool is_invalid() const { return value == replacement_rune && width == 1; }
};

Rune decode_rune(std::string_view text);
void append_rune(std::string& text, char32_t rune);

}  // namespace cairn::cache
