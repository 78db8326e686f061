// SPDX-License-Identifier: Apache-2.0
// Two pattern languages that digests depend on: Go's path.Match, and the .dockerignore language of moby/patternmatcher
// ("**", "!", a matched directory matches what is below it). Sources: Go path package documentation; spec/storage 3.5.
// Both cost at most the length of the pattern times that of the path, whatever the pattern.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::cache {

class Expression;

// Go's path.Match: '*' and '?' do not cross '/', [a-z] [^a-z], '\' escapes. Errors: invalid_argument (bad pattern).
base::Result<bool> path_match(std::string_view pattern, std::string_view name);
// Whether the text holds an unescaped '*', '?' or '['.
bool has_wildcard(std::string_view text);

// A list of ignore patterns, compiled. Immutable, so thread-safe; copies share the compiled patterns.
class PatternList {
 public:
  // Blank patterns are dropped; white space around a pattern too. Errors: invalid_argument (a lone "!", or a text that
  // path_match would refuse).
  static base::Result<PatternList> compile(const std::vector<std::string>& patterns);

  // For each pattern, whether the path or one of its parents matched; handed from a directory to its children
  // (MatchesUsingParentResults). Empty: nothing is known of the parents, so each of them is tried, at the same cost.
  struct MatchInfo {
    std::vector<bool> parent_matched;
  };
  // Whether `path` (relative, '/'-separated) is matched, last pattern wins; info is filled for the children.
  // Errors: invalid_argument if a pattern that has to be tried means nothing (for example "[z-a]", whose syntax is
  // right).
  base::Result<bool> matches(std::string_view path, const MatchInfo& parent, MatchInfo& info) const;
  bool empty() const { return patterns_.empty(); }
  bool has_exclusions() const;  // some pattern begins with '!'

 private:
  enum class Kind { exact, prefix, suffix, expression, broken };
  struct Pattern {
    std::string text;  // cleaned, without '!'
    bool exclusion = false;
    Kind kind = Kind::exact;
    std::shared_ptr<const Expression> expression;
  };
  static void translate(Pattern& pattern);
  static base::Result<bool> matches_one(const Pattern& pattern, std::string_view path);
  static bool matches_parent(const Pattern& pattern, std::string_view path);

  std::vector<Pattern> patterns_;
};

}  // namespace cairn::cache
