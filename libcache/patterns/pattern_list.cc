// SPDX-License-Identifier: Apache-2.0
// Ignore patterns. Simple ones are compared as bytes; the others are translated to an expression, rune by rune, and
// mean what that expression means, oddities included: digests of existing caches depend on them.
#include <algorithm>

#include "libcache/pattern.h"
#include "libcache/patterns/clean.h"
#include "libcache/patterns/expression.h"
#include "libcache/patterns/utf8.h"

namespace cairn::cache {
namespace {

using base::ErrorCode;
using base::fail;
using base::Result;

// Go's unicode.IsSpace.
bool is_space(char32_t rune) {
  return (rune >= 0x09 && rune <= 0x0d) || rune == 0x20 || rune == 0x85 || rune == 0xa0 || rune == 0x1680 ||
         (rune >= 0x2000 && rune <= 0x200a) || rune == 0x2028 || rune == 0x2029 || rune == 0x202f || rune == 0x205f ||
         rune == 0x3000;
}

std::string_view trim_space(std::string_view text) {
  while (!text.empty()) {
    const Rune rune = decode_rune(text);
    if (!is_space(rune.value)) break;
    text.remove_prefix(rune.width);
  }
  std::size_t end = 0;  // behind the last rune that is no space
  for (std::size_t at = 0; at < text.size();) {
    const Rune rune = decode_rune(text.substr(at));
    at += rune.width;
    if (!is_space(rune.value)) end = at;
  }
  return text.substr(0, end);
}

}  // namespace

Result<PatternList> PatternList::compile(const std::vector<std::string>& patterns) {
  PatternList list;
  for (const std::string& written : patterns) {
    const std::string_view trimmed = trim_space(written);
    if (trimmed.empty()) continue;
    Pattern pattern;
    // The "!" takes part in the cleaning, so "!a/../b" is the plain pattern "b".
    pattern.text = clean_path(trimmed);
    if (pattern.text.front() == '!') {
      pattern.exclusion = true;
      pattern.text.erase(0, 1);
      if (pattern.text.empty()) return fail(ErrorCode::invalid_argument, "illegal exclusion pattern: \"!\"");
    }
    TRY(path_match(pattern.text, "."), "pattern \"{}\"", pattern.text);
    translate(pattern);
    list.patterns_.push_back(std::move(pattern));
  }
  return list;
}

bool PatternList::has_exclusions() const {
  return std::any_of(patterns_.begin(), patterns_.end(), [](const Pattern& pattern) { return pattern.exclusion; });
}

// Decides the kind and, where bytes do not do, writes the expression. "**/" stands for any number of directories, "**"
// at the end for everything, "*" and "?" for anything but '/'.
void PatternList::translate(Pattern& pattern) {
  std::string_view rest = pattern.text;
  std::string source = "^";
  const auto take = [&rest](std::string_view text) {
    if (!rest.starts_with(text)) return false;
    rest.remove_prefix(text.size());
    return true;
  };
  take("\xef\xbb\xbf");  // a byte order mark at the start is not part of the text
  for (bool first = true; !rest.empty(); first = false) {
    if (take("**")) {
      take("/");
      if (!rest.empty()) {
        source += "(.*/)?";
        pattern.kind = Kind::expression;
      } else if (pattern.kind == Kind::exact) {
        pattern.kind = Kind::prefix;
      } else {
        source += ".*";
        pattern.kind = Kind::expression;
      }
      if (first) pattern.kind = Kind::suffix;
      continue;
    }
    const Rune rune = decode_rune(rest);
    rest.remove_prefix(rune.width);
    if (rune.value == '*' || rune.value == '?') {
      source += rune.value == '*' ? "[^/]*" : "[^/]";
      pattern.kind = Kind::expression;
    } else if (rune.value < 0x80 &&
               std::string_view(".+()|{}$").find(static_cast<char>(rune.value)) != std::string_view::npos) {
      source += '\\';
      source += static_cast<char>(rune.value);
    } else if (rune.value == '\\' && !rest.empty()) {
      const Rune escaped = decode_rune(rest);
      rest.remove_prefix(escaped.width);
      source += '\\';
      append_rune(source, escaped.value);
      pattern.kind = Kind::expression;
    } else {
      append_rune(source, rune.value);
      if (rune.value == '[' || rune.value == ']') pattern.kind = Kind::expression;
    }
  }
  if (pattern.kind != Kind::expression) return;
  // An expression that means nothing is an error of the first path it has to be tried on, not of the list.
  auto expression = Expression::parse(source + "$");
  if (!expression) {
    pattern.kind = Kind::broken;
    return;
  }
  pattern.expression = std::make_shared<const Expression>(*std::move(expression));
}

Result<bool> PatternList::matches_one(const Pattern& pattern, std::string_view path) {
  const std::string_view text = pattern.text;
  switch (pattern.kind) {
    case Kind::exact: return path == text;
    case Kind::prefix: return path.starts_with(text.substr(0, text.size() - 2));
    case Kind::suffix: {
      const std::string_view suffix = text.substr(2);
      return path.ends_with(suffix) || (suffix.starts_with('/') && path == suffix.substr(1));
    }
    case Kind::expression: return pattern.expression->matches_start_of(path);
    case Kind::broken: break;
  }
  return fail(ErrorCode::invalid_argument, "pattern \"{}\": syntax error in pattern", text);
}

// Whether one of the directories above the path is matched. (A broken pattern has failed on the path itself before.)
bool PatternList::matches_parent(const Pattern& pattern, std::string_view path) {
  for (std::size_t end = path.find('/'); end != std::string_view::npos; end = path.find('/', end + 1)) {
    if (matches_one(pattern, path.substr(0, end)).value_or(false)) return true;
  }
  return false;
}

Result<bool> PatternList::matches(std::string_view path, const MatchInfo& parent, MatchInfo& info) const {
  const std::vector<bool>& above = parent.parent_matched;
  if (!above.empty() && above.size() != patterns_.size()) {
    return fail(ErrorCode::invalid_argument, "match \"{}\": results of another pattern list", path);
  }
  std::vector<bool> here(patterns_.size(), false);
  bool matched = false;
  for (std::size_t i = 0; i < patterns_.size(); ++i) {
    const Pattern& pattern = patterns_[i];
    bool match = !above.empty() && above[i];
    if (!match) {
      // A pattern that could not change the answer is not tried, and then counts as unmatched for the children.
      if (pattern.exclusion != matched) continue;
      match = TRY(matches_one(pattern, path)) || (above.empty() && matches_parent(pattern, path));
    }
    here[i] = match;
    if (match) matched = !pattern.exclusion;
  }
  info.parent_matched = std::move(here);
  return matched;
}

}  // namespace cairn::cache
