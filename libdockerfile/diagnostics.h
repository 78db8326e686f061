// SPDX-License-Identifier: Apache-2.0
// What a Dockerfile is told about itself: warnings, and the lines that an error is about.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace cairn::dockerfile {

// Lines of the file, from 1, both ends in.
struct Lines {
  int first = 0, last = 0;
  bool operator==(const Lines&) const = default;
};

struct Warning {
  std::string rule;     // "FromAsCasing"
  std::string message;  // what is wrong here
  std::string url;      // where the rule is explained
  Lines lines;
  // "FromAsCasing: … (line 1)", as BuildKit shows it.
  std::string text() const;
};

struct Diagnostics {
  std::string text;  // of the Dockerfile, if it could be read
  std::vector<Warning> warnings;
  std::vector<std::string> notes;  // what was done otherwise than the file may expect
  Lines error_lines;               // of the error that was returned; first 0: it is about no line
};

// The lines around `lines`, those marked, as BuildKit shows where an error or a warning is. "" if there are none.
std::string excerpt(std::string_view filename, std::string_view text, Lines lines);

}  // namespace cairn::dockerfile
