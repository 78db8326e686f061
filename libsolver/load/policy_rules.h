// SPDX-License-Identifier: Apache-2.0
// The rules of a source policy, as they were read.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "libcache/regex.h"
#include "libsolver/source_policy.h"

namespace cairn::solver {

struct PolicyConstraint {
  enum class Condition { equal, not_equal, matches };
  std::string key, value;
  Condition condition = Condition::equal;
  std::optional<cache::Regex> regex;  // of `matches`
};

struct SourcePolicy::Rule {
  enum class Action { allow, deny, convert };
  enum class Match { wildcard, exact, regex };
  Action action = Action::allow;
  Match match = Match::wildcard;
  std::string identifier;
  std::optional<cache::Regex> regex;  // of Match::regex
  std::vector<PolicyConstraint> constraints;
  std::string to_identifier;
  std::map<std::string, std::string> to_attrs;
};

struct SourcePolicy::Rules {
  std::vector<Rule> all;
  std::string digest;
};

}  // namespace cairn::solver
