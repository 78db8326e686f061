// SPDX-License-Identifier: Apache-2.0
// Lines at the bottom of a terminal that are drawn again and again, on standard error.
#pragma once

#include <cstddef>
#include <string>

namespace cairn::cachectl {

struct TerminalSize {
  std::size_t rows = 24, columns = 80;
};
TerminalSize terminal_size();  // of standard error; what it does not say is as above

// Cut to less than a line, so that it does not wrap: what wraps cannot be cleared.
std::string cut_to_line(std::string text, std::size_t columns);

}  // namespace cairn::cachectl
