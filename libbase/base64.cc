// SPDX-License-Identifier: Apache-2.0
#include "libbase/base64.h"

#include <cstdint>

namespace cairn::base {

std::string base64(std::string_view bytes) {
  static constexpr char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
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

}  // namespace cairn::base
