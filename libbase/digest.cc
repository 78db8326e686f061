// SPDX-License-Identifier: Apache-2.0
// The text form of digests.
#include "libbase/digest.h"

#include <array>

namespace cairn::base {

namespace {

constexpr std::string_view prefix = "sha256:";

// The values of lower-case hex digits; -1 for what is none. Upper case is refused: a digest has one text.
constexpr auto hex_values = [] {
  std::array<std::int8_t, 256> values{};
  values.fill(-1);
  constexpr std::string_view digits = "0123456789abcdef";
  for (std::size_t i = 0; i < digits.size(); ++i) values[static_cast<std::uint8_t>(digits[i])] = static_cast<std::int8_t>(i);
  return values;
}();
int hex_value(char digit) { return hex_values[static_cast<std::uint8_t>(digit)]; }

}  // namespace

Result<Sha256Bytes> parse_sha256(std::string_view text) {
  Sha256Bytes bytes;
  if (!text.starts_with(prefix)) return fail(ErrorCode::invalid_argument, "digest \"{}\" is not sha256", text);
  const std::string_view hex = text.substr(prefix.size());
  if (hex.size() != 2 * bytes.size()) {
    return fail(ErrorCode::invalid_argument, "digest \"{}\" has {} digits, not {}", text, hex.size(), 2 * bytes.size());
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return fail(ErrorCode::invalid_argument, "digest \"{}\" is not lower-case hex", text);
    bytes[i] = static_cast<std::uint8_t>(high << 4 | low);
  }
  return bytes;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text(2 * bytes.size(), '\0');
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    text[2 * i] = digits[bytes[i] >> 4];
    text[2 * i + 1] = digits[bytes[i] & 15];
  }
  return text;
}

}  // namespace cairn::base
