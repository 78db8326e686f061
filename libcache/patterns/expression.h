// SPDX-License-Identifier: Apache-2.0
// The regular expressions that ignore patterns are translated to, read with the meaning Go's regexp package gives them
// (a pattern may hold "\d" or "[[:alpha:]]" and then means it). Matching follows all alternatives at once, so its cost
// is at most the length of the expression times that of the text, whatever the pattern.
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/result.h"

namespace cairn::cache {

// A set of runes: some ranges, or all but these.
struct RuneSet {
  std::vector<std::pair<char32_t, char32_t>> ranges;
  bool negated = false;

  void add(char32_t low, char32_t high) { ranges.emplace_back(low, high); }
  void add_all_but(const RuneSet& other);  // other must not be negated
  bool contains(char32_t rune) const;
};

// The only operators are those that the translation writes: '*' after a class or '.', and "(.*/)?".
class Expression {
 public:
  // Errors: invalid_argument (no expression in Go's syntax; or a Unicode class like \pL, which is not offered here).
  static base::Result<Expression> parse(std::string_view source);
  // Whether some match begins at the start of the text. (Every translated pattern begins with '^'.)
  bool matches_start_of(std::string_view text) const;

 private:
  friend class ExpressionParser;
  enum class Kind : std::uint8_t { rune, set, split, begin, end, word_boundary, no_word_boundary, accept };
  struct Step {
    Kind kind;
    char32_t rune = 0;        // of rune
    std::uint32_t index = 0;  // of set: in sets_; of split: the other step to go on with
  };
  class Run;

  std::vector<Step> steps_;
  std::vector<RuneSet> sets_;
};

}  // namespace cairn::cache
