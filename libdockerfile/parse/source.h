// SPDX-License-Identifier: Apache-2.0
// A Dockerfile as lines that belong together: directives, comments, continuations and heredocs are taken away here
// (spec/solver 9.3). What an instruction means is not known.
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "libdockerfile/diagnostics.h"
#include "libdockerfile/parse/heredoc.h"

namespace cairn::dockerfile {

// One instruction as it is written.
struct Statement {
  std::string original;            // continuation lines joined
  std::string name;                // as written
  std::vector<std::string> flags;  // "--from=x", quotes removed
  std::string rest;                // what follows the flags
  std::vector<Heredoc> heredocs;
  std::vector<std::string> comments;  // the lines of them that stand right before it
  Lines lines;
};

struct Directive {
  std::string value;
  int line = 0;
};

struct Source {
  std::vector<Statement> statements;
  std::map<std::string, Directive> directives;  // "syntax", "escape", "check"
  char escape = '\\';
  std::vector<Lines> empty_continuations;
};

// Linear in the text. Errors: invalid_argument; error_lines says where.
base::Result<Source> parse_source(std::string_view text, Lines& error_lines);

// One line, its continuations joined, without heredocs.
Statement parse_statement(std::string_view line);

}  // namespace cairn::dockerfile
