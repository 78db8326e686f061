// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/diagnostics.h"

#include <algorithm>

#include <fmt/format.h>

namespace cairn::dockerfile {
namespace {

constexpr int context_lines = 2;  // before and after, of those that are marked, at most
constexpr std::string_view rule = "--------------------\n";

}  // namespace

std::string Warning::text() const {
  return lines.first > 0 ? fmt::format("{}: {} (line {})", rule, message, lines.first)
                         : fmt::format("{}: {}", rule, message);
}

std::string excerpt(std::string_view filename, std::string_view text, Lines lines) {
  std::vector<std::string_view> all;
  while (true) {
    const std::size_t end = text.find('\n');
    all.push_back(text.substr(0, end));
    if (end == std::string_view::npos) break;
    text.remove_prefix(end + 1);
  }
  const int count = static_cast<int>(all.size());
  if (lines.first < 1 || lines.last > count || lines.last < lines.first) return {};
  const int first = std::max(1, lines.first - context_lines);
  const int last = std::min(count, lines.last + context_lines);
  std::string out = fmt::format("{}:{}\n{}", filename, lines.first, rule);
  for (int number = first; number <= last; ++number) {
    const bool marked = number >= lines.first && number <= lines.last;
    std::string_view line = all[static_cast<std::size_t>(number - 1)];
    if (line.ends_with('\r')) line.remove_suffix(1);
    out += fmt::format(" {:3} | {} {}\n", number, marked ? ">>>" : "   ", line);
  }
  return out + std::string(rule);
}

}  // namespace cairn::dockerfile
