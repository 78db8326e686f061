// SPDX-License-Identifier: Apache-2.0
// Two pattern languages that digests depend on: Go's path.Match, and the .dockerignore language of moby/patternmatcher
// ("**", "!", a matched directory matches what is below it). Sources: Go path package documentation; spec/storage 3.5.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::cache {

// Go's path.Match: '*' and '?' do not cross '/', [a-z] [^a-z], '\' escapes. Errors: invalid_argument (bad pattern).
base::Result<bool> path_match(std::string_view pattern, std::string_view name);
// Whether the text holds an unescaped '*', '?' or '['.
bool has_wildcard(std::string_view text);

// A list of ignore patterns, compiled.
class PatternList {
 public:
  static base::Result<PatternList> compile(const std::vector<std::string>& patterns);

  // For each pattern, whether the path or one of its parents matched; handed from a directory to its children
  // (MatchesUsingParentResults).
  struct MatchInfo {
    std::vector<bool> parent_matched;
  };
  // Whether `path` (relative, '/'-separated) is matched, last pattern wins; info is filled for the children.
  base::Result<bool> matches(std::string_view path, const MatchInfo& parent, MatchInfo& info) const;
  bool empty() const;
  bool has_exclusions() const;  // some pattern begins with '!'

 private:
  struct Pattern {
    std::string text;
    bool exclusion = false;
    std::string regex_source;
  };
  std::vector<Pattern> patterns_;
};

}  // namespace cairn::cache
