// SPDX-License-Identifier: Apache-2.0
#include "libbase/digest.h"

namespace cairn::base {
namespace {

// -1: not a lower-case hex digit.
int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  return -1;
}

}  // namespace

Result<Sha256Bytes> parse_sha256(std::string_view text) {
  constexpr std::string_view prefix = "sha256:";
  Sha256Bytes bytes{};
  const std::string_view hex = text.starts_with(prefix) ? text.substr(prefix.size()) : std::string_view();
  if (hex.size() != 2 * bytes.size()) {
    return fail(ErrorCode::invalid_argument, "\"{}\" is not a digest (want sha256:<64 hex digits>)", text.substr(0, 100));
  }
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const int high = hex_value(hex[2 * i]);
    const int low = hex_value(hex[2 * i + 1]);
    if (high < 0 || low < 0) return fail(ErrorCode::invalid_argument, "\"{}\" is not a digest: not lower-case hex", text);
    bytes[i] = static_cast<std::uint8_t>(high * 16 + low);
  }
  return bytes;
}

std::string to_hex(std::span<const std::uint8_t> bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  text.reserve(2 * bytes.size());
  for (std::uint8_t byte : bytes) {
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

}  // namespace cairn::base
