// SPDX-License-Identifier: Apache-2.0
// The small grammar of header fields: words without case, numbers, lists, ranges, conditions (RFC 9110). Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cairn::serve {

bool same_word(std::string_view a, std::string_view b);  // ASCII, whatever the case
std::optional<std::uint64_t> parse_number(std::string_view digits);  // digits and nothing else
std::vector<std::string_view> split_list(std::string_view list);     // by commas, without the blanks around

// Whether an Accept-Encoding takes this coding: it is named, or *, and not with q=0.
bool accepts_encoding(std::string_view accept, std::string_view coding);
// Whether an If-Match or If-None-Match names this tag (with its quotes), or is *. Weak ones count.
bool names_tag(std::string_view list, std::string_view tag);

struct BytesAsked {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};
enum class RangeFit : std::uint8_t { whole, part, beyond };
struct RangeAsked {
  RangeFit fit = RangeFit::whole;
  BytesAsked bytes{};  // of a part
};
// A Range of one part of `size` bytes. What is no such thing (another unit, several parts, nonsense) asks for the whole.
RangeAsked parse_range(std::string_view range, std::uint64_t size);

std::string_view reason_of(unsigned status);  // "Not Found"

}  // namespace cairn::serve
