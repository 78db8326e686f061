// SPDX-License-Identifier: Apache-2.0
// Small questions about text that all of the parser asks.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::dockerfile {

inline bool is_space(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
std::string_view trim(std::string_view text);
std::string_view trim_left(std::string_view text);
std::string lower(std::string_view text);
std::string upper(std::string_view text);
inline bool same_ignoring_case(std::string_view a, std::string_view b) { return lower(a) == lower(b); }
std::string join(const std::vector<std::string>& words, std::string_view separator);
// At every white space; "" gives none.
std::vector<std::string> split_space(std::string_view text);
std::vector<std::string> split(std::string_view text, char separator);
// The word at the front and what follows the white space behind it.
struct Cut {
  std::string_view head, rest;
  bool found = false;
};
Cut cut_space(std::string_view text);
Cut cut(std::string_view text, char separator);
// As Go's %q prints a text.
std::string go_quoted(std::string_view text);

}  // namespace cairn::dockerfile
