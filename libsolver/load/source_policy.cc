// SPDX-License-Identifier: Apache-2.0
#include "libsolver/source_policy.h"

#include <optional>

#include "libcache/regex.h"
#include "libsolver/load/policy_rules.h"

namespace cairn::solver {

using base::ErrorCode;
using base::fail;
using base::Result;

namespace {

constexpr int conversions_max = 20;
constexpr std::size_t identifier_bytes_max = 64 << 10;

// '*' is any text without a line break. Each takes as much as it can, the first one first, as (.*) does: so pieces are
// placed from the right, each as far right as it goes.
std::optional<std::vector<std::string>> match_wildcard(std::string_view pattern, std::string_view text) {
  std::vector<std::string_view> pieces;
  for (std::size_t star; (star = pattern.find('*')) != std::string_view::npos; pattern.remove_prefix(star + 1)) {
    pieces.push_back(pattern.substr(0, star));
  }
  pieces.push_back(pattern);
  std::vector<std::string> groups{std::string(text)};
  if (pieces.size() == 1) return text == pattern ? std::optional(groups) : std::nullopt;
  if (!text.starts_with(pieces.front()) || !text.ends_with(pieces.back())) return std::nullopt;
  if (pieces.front().size() + pieces.back().size() > text.size()) return std::nullopt;
  std::string_view left = text.substr(pieces.front().size(), text.size() - pieces.front().size() - pieces.back().size());
  std::vector<std::string> from_right;
  for (std::size_t i = pieces.size() - 1; --i > 0;) {
    const std::size_t at = left.rfind(pieces[i]);
    if (at == std::string_view::npos) return std::nullopt;
    from_right.emplace_back(left.substr(at + pieces[i].size()));
    left = left.substr(0, at);
  }
  from_right.emplace_back(left);
  groups.insert(groups.end(), from_right.rbegin(), from_right.rend());
  for (std::size_t i = 1; i < groups.size(); ++i) {
    if (groups[i].find('\n') != std::string::npos) return std::nullopt;
  }
  return groups;
}

bool is_word(char c) { return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

// Go's Regexp.Expand: $name, ${name}, $1, $$; a name that is none gives nothing. Ends soon after identifier_bytes_max.
std::string expand(std::string_view form, const std::vector<std::string>& groups, const std::map<std::string, int>& names) {
  std::string out;
  for (std::size_t i = 0; i < form.size() && out.size() <= identifier_bytes_max; ++i) {
    if (form[i] != '$' || i + 1 == form.size()) {
      out += form[i];
      continue;
    }
    if (form[i + 1] == '$') {
      out += '$';
      ++i;
      continue;
    }
    const bool braced = form[i + 1] == '{';
    const std::size_t begin = i + (braced ? 2 : 1);
    std::size_t end = begin;
    while (end < form.size() && is_word(form[end])) ++end;
    if (end == begin || (braced && (end == form.size() || form[end] != '}'))) {
      out += '$';  // malformed: stays as it is
      continue;
    }
    const std::string name(form.substr(begin, end - begin));
    std::size_t group = groups.size();
    if (name.find_first_not_of("0123456789") == std::string::npos && name.size() < 4) group = std::stoul(name);
    else if (const auto found = names.find(name); found != names.end()) group = static_cast<std::size_t>(found->second);
    if (group < groups.size()) out += groups[group];
    i = braced ? end : end - 1;
  }
  return out;
}

bool fits(const PolicyConstraint& constraint, const wire::SourceOp& source) {
  const auto found = source.attrs.find(constraint.key);
  const std::string value = found == source.attrs.end() ? std::string() : found->second;
  switch (constraint.condition) {
    case PolicyConstraint::Condition::equal: return value == constraint.value;
    case PolicyConstraint::Condition::not_equal: return value != constraint.value;
    case PolicyConstraint::Condition::matches: return constraint.regex->search(value).has_value();
  }
  return false;
}

// The groups of the match.
std::optional<std::vector<std::string>> match(const SourcePolicy::Rule& rule, const wire::SourceOp& source) {
  for (const PolicyConstraint& constraint : rule.constraints) {
    if (!fits(constraint, source)) return std::nullopt;
  }
  const std::string& name = source.identifier;
  switch (rule.match) {
    case SourcePolicy::Rule::Match::wildcard: return match_wildcard(rule.identifier, name);
    case SourcePolicy::Rule::Match::regex:
      if (auto groups = rule.regex->search(name)) return groups;
      break;
    case SourcePolicy::Rule::Match::exact: break;
  }
  if (rule.identifier == name) return std::vector<std::string>{name};
  return std::nullopt;
}

bool convert(const SourcePolicy::Rule& rule, const std::vector<std::string>& groups, wire::SourceOp& source) {
  static const std::map<std::string, int> none;
  std::string to = rule.to_identifier.empty() ? rule.identifier : rule.to_identifier;
  if (rule.match != SourcePolicy::Rule::Match::exact) to = expand(to, groups, rule.regex ? rule.regex->named_groups() : none);
  bool changed = false;
  // A pattern that names no other source changes attributes only.
  if (!rule.to_identifier.empty() && !to.empty() && source.identifier != to) {
    source.identifier = to;
    changed = true;
  }
  for (const auto& [key, value] : rule.to_attrs) {
    const auto found = source.attrs.find(key);
    if (found != source.attrs.end() && found->second == value) continue;
    source.attrs[key] = value;
    changed = true;
  }
  return changed;
}

Result<bool> apply_once(std::span<const SourcePolicy> policies, wire::SourceOp& source) {
  for (const SourcePolicy& policy : policies) {
    bool denied = false;
    for (const SourcePolicy::Rule& rule : policy.rules()) {
      const auto groups = match(rule, source);
      if (!groups) continue;
      if (rule.action == SourcePolicy::Rule::Action::convert) {
        if (convert(rule, *groups, source)) return true;
      } else {
        denied = rule.action == SourcePolicy::Rule::Action::deny;
      }
    }
    if (denied) return fail(ErrorCode::invalid_argument, "source \"{}\" is denied by the source policy", source.identifier);
  }
  return false;
}

}  // namespace

std::span<const SourcePolicy::Rule> SourcePolicy::rules() const { return rules_->all; }
const std::string& SourcePolicy::digest() const { return rules_->digest; }

Result<bool> apply_source_policies(std::span<const SourcePolicy> policies, wire::SourceOp& source) {
  const std::string asked = source.identifier;
  for (int i = 0; i <= conversions_max; ++i) {
    if (!TRY(apply_once(policies, source))) return i > 0;
    if (source.identifier.size() > identifier_bytes_max) {
      return fail(ErrorCode::invalid_argument, "source \"{}\": the source policy converts it into one of more than {} bytes", asked,
                  identifier_bytes_max);
    }
  }
  return fail(ErrorCode::invalid_argument, "source \"{}\": the source policy converts it more than {} times, at last to \"{}\"",
              asked, conversions_max, source.identifier);
}

}  // namespace cairn::solver
