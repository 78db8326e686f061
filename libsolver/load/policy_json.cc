// SPDX-License-Identifier: Apache-2.0
// Reads a source policy: BuildKit's JSON, enums by name or by number.
#include <algorithm>
#include <initializer_list>

#include <nlohmann/json.hpp>

#include "libbase/hash/sha256.h"
#include "libsolver/load/policy_rules.h"

namespace cairn::solver {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;
using nlohmann::json;

constexpr std::size_t bytes_max = 4u << 20;

Status only(const json& object, std::initializer_list<std::string_view> known) {
  if (!object.is_object()) return fail(ErrorCode::invalid_argument, "not an object");
  for (const auto& [key, value] : object.items()) {
    if (std::find(known.begin(), known.end(), key) == known.end()) {
      return fail(ErrorCode::invalid_argument, "unknown field \"{}\"", key);
    }
  }
  return {};
}

Result<std::string> text(const json& object, const char* key) {
  const auto found = object.find(key);
  if (found == object.end()) return std::string();
  if (!found->is_string()) return fail(ErrorCode::invalid_argument, "\"{}\" is not a text", key);
  return found->get<std::string>();
}

// The first name is the one that holds if nothing is said.
Result<std::size_t> choice(const json& object, const char* key, std::initializer_list<std::string_view> names) {
  const auto found = object.find(key);
  if (found == object.end()) return std::size_t{0};
  if (found->is_number_unsigned() && found->get<std::uint64_t>() < names.size()) return found->get<std::size_t>();
  if (found->is_string()) {
    const auto at = std::find(names.begin(), names.end(), found->get<std::string>());
    if (at != names.end()) return static_cast<std::size_t>(at - names.begin());
  }
  return fail(ErrorCode::invalid_argument, "\"{}\" is {}, which is none", key, found->dump(-1, ' ', true, json::error_handler_t::replace));
}

Result<PolicyConstraint> read_constraint(const json& object) {
  TRY(only(object, {"key", "value", "condition"}));
  PolicyConstraint constraint;
  constraint.key = TRY(text(object, "key"));
  constraint.value = TRY(text(object, "value"));
  constraint.condition =
      static_cast<PolicyConstraint::Condition>(TRY(choice(object, "condition", {"EQUAL", "NOTEQUAL", "MATCHES"})));
  if (constraint.condition == PolicyConstraint::Condition::matches) {
    constraint.regex = TRY(cache::Regex::compile(constraint.value));
  }
  return constraint;
}

Status read_selector(const json& object, SourcePolicy::Rule& rule) {
  TRY(only(object, {"identifier", "match_type", "constraints"}));
  rule.identifier = TRY(text(object, "identifier"));
  rule.match = static_cast<SourcePolicy::Rule::Match>(TRY(choice(object, "match_type", {"WILDCARD", "EXACT", "REGEX"})));
  if (rule.match == SourcePolicy::Rule::Match::regex) rule.regex = TRY(cache::Regex::compile(rule.identifier));
  if (rule.match == SourcePolicy::Rule::Match::wildcard && rule.identifier.find("**") != std::string::npos) {
    return fail(ErrorCode::invalid_argument, "wildcard \"{}\": ** means nothing", rule.identifier);
  }
  const auto constraints = object.find("constraints");
  if (constraints == object.end()) return {};
  if (!constraints->is_array()) return fail(ErrorCode::invalid_argument, "\"constraints\" is not a list");
  for (const json& each : *constraints) rule.constraints.push_back(TRY(read_constraint(each), "constraint"));
  return {};
}

Status read_updates(const json& object, SourcePolicy::Rule& rule) {
  TRY(only(object, {"identifier", "attrs"}));
  rule.to_identifier = TRY(text(object, "identifier"));
  const auto attrs = object.find("attrs");
  if (attrs == object.end()) return {};
  if (!attrs->is_object()) return fail(ErrorCode::invalid_argument, "\"attrs\" is not an object");
  for (const auto& [key, value] : attrs->items()) {
    if (!value.is_string()) return fail(ErrorCode::invalid_argument, "attribute \"{}\" is not a text", key);
    rule.to_attrs.emplace(key, value.get<std::string>());
  }
  return {};
}

Result<SourcePolicy::Rule> read_rule(const json& object) {
  TRY(only(object, {"action", "selector", "updates"}));
  SourcePolicy::Rule rule;
  rule.action = static_cast<SourcePolicy::Rule::Action>(TRY(choice(object, "action", {"ALLOW", "DENY", "CONVERT"})));
  const auto selector = object.find("selector");
  if (selector == object.end()) return fail(ErrorCode::invalid_argument, "it has no selector");
  TRY(read_selector(*selector, rule), "selector");
  const auto updates = object.find("updates");
  if (updates != object.end()) {
    TRY(read_updates(*updates, rule), "updates");
  } else if (rule.action == SourcePolicy::Rule::Action::convert) {
    return fail(ErrorCode::invalid_argument, "it converts, and says not into what (\"updates\")");
  }
  return rule;
}

}  // namespace

Result<SourcePolicy> SourcePolicy::parse(std::string_view bytes) {
  const auto bad = [](std::string_view why) { return fail(ErrorCode::invalid_argument, "read source policy: {}", why); };
  if (bytes.size() > bytes_max) return bad("it is larger than 4 MiB");
  const json document = json::parse(bytes, nullptr, false);
  if (document.is_discarded()) return bad("it is not JSON");
  TRY(only(document, {"version", "rules"}), "read source policy");
  const auto version = document.find("version");
  if (version == document.end() || *version != 1) return bad("its version is not 1");
  auto rules = std::make_shared<Rules>();
  rules->digest = base::to_hex(base::sha256(bytes));
  const auto list = document.find("rules");
  if (list == document.end() || list->is_null()) return SourcePolicy(std::move(rules));
  if (!list->is_array()) return bad("\"rules\" is not a list");
  for (std::size_t i = 0; i < list->size(); ++i) {
    rules->all.push_back(TRY(read_rule((*list)[i]), "read source policy: rule {}", i + 1));
  }
  return SourcePolicy(std::move(rules));
}

}  // namespace cairn::solver
