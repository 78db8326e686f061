// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/lint/linter.h"

#include <algorithm>

#include "libdockerfile/parse/refuse.h"
#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {
namespace {

constexpr std::string_view explained_at = "https://docs.docker.com/go/dockerfile/rule/";

// "FromAsCasing" is "from-as-casing", "JSONArgsRecommended" "json-args-recommended".
std::string page_of(std::string_view rule) {
  const auto is_upper = [](char c) { return c >= 'A' && c <= 'Z'; };
  std::string page(explained_at);
  for (std::size_t i = 0; i < rule.size(); ++i) {
    const bool begins =
        is_upper(rule[i]) && i > 0 && (!is_upper(rule[i - 1]) || (i + 1 < rule.size() && !is_upper(rule[i + 1])));
    if (begins) page += '-';
    page += lower(rule.substr(i, 1));
  }
  return page + '/';
}

}  // namespace

base::Result<Linter> Linter::parse(std::string_view config) {
  Linter linter;
  if (trim(config).empty()) return linter;
  for (const std::string& part : split(config, ';')) {
    const Cut at = cut(part, '=');
    const std::string key(trim(at.head)), value(trim(at.rest));
    if (!at.found) return refuse("invalid check option {}", go_quoted(key));
    if (key == "error") {
      if (value != "true" && value != "false" && value != "1" && value != "0") {
        return refuse("failed to parse check option {}={}", key, value);
      }
      linter.warnings_are_errors_ = value == "true" || value == "1";
    } else if (key == "skip" || key == "experimental") {
      bool& all = key == "skip" ? linter.skip_all_ : linter.experimental_all_;
      auto& rules = key == "skip" ? linter.skipped_ : linter.experimental_;
      for (const std::string& rule : split(value, ',')) {
        if (trim(rule) == "all")
          all = true;
        else
          rules.emplace(trim(rule));
      }
    } else {
      return refuse("invalid check option {}", go_quoted(key));
    }
  }
  return linter;
}

bool Linter::is_on(std::string_view rule) const {
  if (paused_ > 0) return false;
  if (rule == "InvalidDefinitionDescription" || experimental_.contains(rule)) {
    return experimental_all_ || experimental_.contains(rule);
  }
  return !skip_all_ && !skipped_.contains(rule);
}

void Linter::warn(std::string_view rule, Lines lines, std::string message) {
  if (is_on(rule)) warnings_.push_back({std::string(rule), std::move(message), page_of(rule), lines});
}

base::Status Linter::finish() const {
  if (!warnings_are_errors_ || warnings_.empty()) return {};
  std::vector<std::string> rules;
  for (const Warning& warning : warnings_) rules.push_back(warning.rule);
  std::sort(rules.begin(), rules.end());
  rules.erase(std::unique(rules.begin(), rules.end()), rules.end());
  return refuse("lint violation found for rules: {}", join(rules, ", "));
}

}  // namespace cairn::dockerfile
