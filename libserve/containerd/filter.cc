// SPDX-License-Identifier: Apache-2.0
#include "libserve/containerd/filter.h"

#include <algorithm>

namespace cairn::serve {

using base::Result;
using base::Status;
using cache::Condition;

namespace {

// nullopt: it is not there, and reads as "".
std::optional<std::string> value_of(const std::vector<std::string>& path, const cache::NamedTree& tree) {
  if (path.front() == "name") return tree.name.name;
  if (path.front() == "parent") return tree.parent;
  if (path.front() == "kind") return std::string(to_string(tree.kind));
  if (path.front() != "labels") return std::nullopt;
  std::string key;
  for (std::size_t i = 1; i < path.size(); ++i) key += (i > 1 ? "." : "") + path[i];
  const auto label = tree.labels.find(key);
  return label == tree.labels.end() ? std::nullopt : std::optional(label->second);
}

}  // namespace

Result<SnapshotFilters> SnapshotFilters::parse(std::span<const std::string> filters) {
  SnapshotFilters parsed;
  for (const std::string& text : filters) {
    std::vector<Test>& all = parsed.filters_.emplace_back();
    TRY(cache::parse_conditions(text, "kind==active,labels.\"a.b\"==c", [&](Condition condition) -> Status {
      Test test{.condition = std::move(condition), .expression = {}};
      if (test.condition.op == Condition::Operator::matches)
        test.expression = TRY(cache::Regex::compile(test.condition.value));
      all.push_back(std::move(test));
      return {};
    }));
  }
  return parsed;
}

bool SnapshotFilters::Test::holds(const cache::NamedTree& tree) const {
  const auto value = value_of(condition.path, tree);
  switch (condition.op) {
    case Condition::Operator::present: return value.has_value();
    case Condition::Operator::equal: return value && *value == condition.value;
    case Condition::Operator::not_equal: return value.value_or("") != condition.value;
    case Condition::Operator::matches: return expression->search(value.value_or("")).has_value();
  }
  return false;
}

bool SnapshotFilters::match(const cache::NamedTree& tree) const {
  const auto matches = [&](const std::vector<Test>& all) {
    return std::all_of(all.begin(), all.end(), [&](const Test& test) { return test.holds(tree); });
  };
  return filters_.empty() || std::any_of(filters_.begin(), filters_.end(), matches);
}

}  // namespace cairn::serve
