// SPDX-License-Identifier: Apache-2.0
// Texts of lines and fields.
#pragma once

#include <algorithm>
#include <string_view>
#include <vector>

namespace cairn::solver {

// Every part, empty ones too: there is one more than separators.
inline std::vector<std::string_view> split(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(separator, begin), text.size());
    parts.push_back(text.substr(begin, end - begin));
    begin = end + 1;
  }
  return parts;
}

}  // namespace cairn::solver
