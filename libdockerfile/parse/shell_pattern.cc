// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/parse/shell_pattern.h"

#include "libdockerfile/parse/refuse.h"

#include <algorithm>
#include <optional>

namespace cairn::dockerfile {
namespace {

constexpr std::size_t searched_max = 16384;

std::optional<std::size_t> pick(const std::vector<bool>& ends, Extent extent) {
  if (extent == Extent::shortest) {
    const auto found = std::find(ends.begin(), ends.end(), true);
    return found == ends.end() ? std::nullopt : std::optional(static_cast<std::size_t>(found - ends.begin()));
  }
  const auto found = std::find(ends.rbegin(), ends.rend(), true);
  return found == ends.rend() ? std::nullopt : std::optional(static_cast<std::size_t>(ends.rend() - found) - 1);
}

std::string reversed(std::string_view text) { return {text.rbegin(), text.rend()}; }

}  // namespace

base::Result<ShellPattern> ShellPattern::parse(std::string_view text) {
  ShellPattern pattern;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '*') {
      pattern.items_.push_back({Kind::many, 0});
    } else if (text[i] == '?') {
      pattern.items_.push_back({Kind::any, 0});
    } else if (text[i] != '\\') {
      pattern.items_.push_back({Kind::character, text[i]});
    } else if (++i < text.size()) {
      pattern.items_.push_back({Kind::character, text[i]});
    } else {
      return refuse("invalid escape");
    }
  }
  return pattern;
}

std::vector<bool> ShellPattern::ends(std::string_view text) const {
  if (!has_many()) text = text.substr(0, items_.size());
  std::vector<bool> reach(text.size() + 1);
  reach[0] = true;
  for (const Item& item : items_) {
    if (item.kind == Kind::many) {
      const auto first = std::find(reach.begin(), reach.end(), true);
      std::fill(first, reach.end(), true);
      continue;
    }
    std::vector<bool> after(text.size() + 1);
    for (std::size_t i = 0; i < text.size(); ++i) {
      after[i + 1] = reach[i] && (item.kind == Kind::any || item.character == text[i]);
    }
    reach = std::move(after);
  }
  return reach;
}

std::string ShellPattern::without_prefix(std::string_view text, Extent extent) const {
  return std::string(text.substr(pick(ends(text), extent).value_or(0)));
}

std::string ShellPattern::without_suffix(std::string_view text, Extent extent) const {
  ShellPattern backwards = *this;
  std::reverse(backwards.items_.begin(), backwards.items_.end());
  return reversed(backwards.without_prefix(reversed(text), extent));
}

bool ShellPattern::has_many() const {
  return std::any_of(items_.begin(), items_.end(), [](const Item& item) { return item.kind == Kind::many; });
}

base::Result<std::string> ShellPattern::replaced(std::string_view text, std::string_view replacement,
                                                 Which which) const {
  // A search is quadratic in the text.
  if (has_many() && text.size() > searched_max) {
    return refuse("a value of {} bytes is too long to replace a pattern with * in it", text.size());
  }
  std::string out;
  while (true) {
    const auto end = pick(ends(text), Extent::longest);
    if (end) {
      out += replacement;
      if (which == Which::first) return out.append(text.substr(*end));
      if (*end > 0) {
        text.remove_prefix(*end);
        if (text.empty()) return out;
        continue;
      }
    }
    if (text.empty()) return out;
    out += text.front();
    text.remove_prefix(1);
  }
}

}  // namespace cairn::dockerfile
