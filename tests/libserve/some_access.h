// SPDX-License-Identifier: Apache-2.0
// Rules that suites of doors share: who has which token, and what of that a request of each kind is answered.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libserve/access.h"

namespace cairn::serve {

// reader, writer: of team and what is below; other: may write in other; all: may read everything. Tokens are their
// names; "ada" has the password "a password" and may read team.
inline AccessRules some_rules(std::string_view team = "team") {
  const auto grant = [](std::vector<std::string> instances, Rights rights) {
    Grant made{.instances = {}, .rights = rights};
    for (const std::string& text : instances) made.instances.push_back(*InstancePattern::parse(text));
    return made;
  };
  const std::vector<std::string> of_team = {std::string(team), std::string(team) + "/*"};
  AccessRules rules;
  const auto add = [&](const std::string& name, Grant may) {
    rules.tokens.push_back({{.name = name, .grants = {std::move(may)}}, SecretHash::of_token(name)});
  };
  add("reader", grant(of_team, Rights::read));
  add("writer", grant(of_team, Rights::write));
  add("other", grant({"other"}, Rights::write));
  add("all", grant({"*"}, Rights::read));
  rules.tokens.push_back(
      {{.name = "ada", .grants = {grant(of_team, Rights::read)}}, *SecretHash::of_password("a password")});
  return rules;
}

// Who asks, and whether he is let in where a request needs that.
struct Asker {
  std::string token;  // "": none is shown
  bool known, reads, writes, sees_everything;
  bool may(Need need) const {
    switch (need) {
      case Need::nothing: return true;
      case Need::read: return reads;
      case Need::write: return writes;
      case Need::everything: return sees_everything;
      case Need::refused: break;
    }
    return false;
  }
};
inline const std::vector<Asker> askers = {{"", false, false, false, false},     {"wrong", false, false, false, false},
                                          {"reader", true, true, false, false}, {"writer", true, true, true, false},
                                          {"other", true, false, false, false}, {"all", true, true, false, true}};

}  // namespace cairn::serve
