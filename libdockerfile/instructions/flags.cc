// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/instructions/flags.h"

#include <algorithm>
#include <numeric>

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

constexpr std::size_t distance_max = 2;
constexpr std::size_t compared_max = 64;  // nothing that is known is as long

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (std::size_t i = 0; i < a.size(); ++i) {
    std::size_t diagonal = std::exchange(row[0], i + 1);
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t changed = diagonal + (a[i] == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({changed, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest(std::string_view word, const std::vector<std::string>& options) {
  if (word.size() > compared_max) return {};
  std::string best;
  std::size_t best_distance = distance_max + 1;
  for (const std::string& option : options) {
    if (option == word) return {};
    const std::size_t distance = edit_distance(word, option);
    if (distance >= best_distance) continue;
    best = option;
    best_distance = distance;
  }
  return best;
}

std::string suggestion(std::string_view word, const std::vector<std::string>& options) {
  const std::string best = nearest(word, options);
  return best.empty() ? std::string() : fmt::format(" (did you mean {}?)", best);
}

base::Result<Flags> Flags::parse(const std::vector<std::string>& flags, const Known& known) {
  Flags out;
  for (const std::string& flag : flags) {
    const Cut at = cut(std::string_view(flag).substr(2), '=');
    const std::string name(at.head);
    const auto kind = known.find(name);
    if (kind == known.end()) {
      std::vector<std::string> names;
      for (const auto& [each, ignored] : known) names.push_back(each);
      return refuse("unknown flag: --{}{}", name, suggestion(name, names));
    }
    auto& values = out.values_[name];
    if (!values.empty() && kind->second != Kind::list) return refuse("duplicate flag specified: --{}", name);
    if (kind->second == Kind::yes_or_no) {
      const std::string value = lower(at.rest);
      if (at.found && value != "true" && value != "false")
        return refuse("expecting boolean value for flag --{}, not: {}", name, at.rest);
      values.push_back(at.found ? value : "true");
    } else {
      if (!at.found) return refuse("missing a value on flag: --{}", name);
      values.emplace_back(at.rest);
    }
  }
  return out;
}

std::string Flags::text(std::string_view name) const {
  const auto found = values_.find(name);
  return found == values_.end() ? std::string() : found->second.front();
}

const std::vector<std::string>& Flags::list(std::string_view name) const {
  static const std::vector<std::string> none;
  const auto found = values_.find(name);
  return found == values_.end() ? none : found->second;
}

}  // namespace cairn::dockerfile
