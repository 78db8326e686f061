// SPDX-License-Identifier: Apache-2.0
#include "libbase/base64.h"

#include <cstdint>

namespace cairn::base {

namespace {
constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
}

std::string base64(std::string_view bytes) {
  std::string out;
  out.reserve((bytes.size() + 2) / 3 * 4);
  for (std::size_t at = 0; at < bytes.size(); at += 3) {
    const auto chunk = bytes.substr(at, 3);
    std::uint32_t word = 0;
    for (std::size_t i = 0; i < 3; ++i) word = word << 8 | (i < chunk.size() ? static_cast<std::uint8_t>(chunk[i]) : 0u);
    for (std::size_t i = 0; i < 4; ++i) out += i <= chunk.size() ? digits[word >> (18 - 6 * i) & 63] : '=';
  }
  return out;
}

std::optional<std::string> from_base64(std::string_view text) {
  std::string out;
  for (std::size_t at = 0; at < text.size(); at += 4) {
    std::uint32_t word = 0;
    unsigned known = 0;
    for (const char c : text.substr(at, 4)) {
      const std::size_t digit = digits.find(c);
      if (digit == std::string_view::npos) break;
      word = word << 6 | static_cast<std::uint32_t>(digit);
      ++known;
    }
    if (known < 2) return std::nullopt;
    word <<= 6 * (4 - known);
    for (unsigned i = 0; i + 1 < known; ++i) out += static_cast<char>(word >> (16 - 8 * i) & 0xff);
  }
  // One text for each: padding where it has to be, and no bits that say nothing.
  return base64(out) == text ? std::optional(std::move(out)) : std::nullopt;
}

}  // namespace cairn::base
