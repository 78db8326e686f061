// SPDX-License-Identifier: Apache-2.0
// Words as a shell reads them: quotes, escapes, $NAME and ${NAME…}. Work and results are bounded: what is nested deeper
// than a person writes, or grows beyond a megabyte, is an error.
#pragma once

#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

// Variables, the last of a name counts. It is read as a list, so a lookup is linear.
using Environment = std::vector<std::pair<std::string, std::string>>;
const std::string* find_variable(const Environment& environment, std::string_view name);

struct WordRules {
  char escape = '\\';
  bool raw_quotes = false;   // quotes stay
  bool raw_escapes = false;  // escapes stay
  bool skip_quotes = false;  // quotes mean nothing
  bool skip_unset = false;   // what is not set stays as it is written
};

struct Expanded {
  std::string text;
  std::vector<std::string> words;   // text, cut at white space that is not quoted
  std::set<std::string> matched;    // names that were set
  std::set<std::string> unmatched;  // names that were not, and for which the text had nothing else
};

// Errors: invalid_argument, as the shell lexer of BuildKit words them.
base::Result<Expanded> expand_words(std::string_view text, const Environment& environment, const WordRules& rules);

}  // namespace cairn::dockerfile
