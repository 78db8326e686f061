// SPDX-License-Identifier: Apache-2.0
#include "tools/cachectl/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

namespace cairn::cachectl {

TerminalSize terminal_size() {
  winsize said{};
  TerminalSize size;
  if (::ioctl(STDERR_FILENO, TIOCGWINSZ, &said) != 0) return size;
  if (said.ws_row > 0) size.rows = said.ws_row;
  if (said.ws_col > 0) size.columns = said.ws_col;
  return size;
}

std::string cut_to_line(std::string text, std::size_t columns) {
  if (text.size() >= columns) text.resize(columns - 1);
  return text;
}

}  // namespace cairn::cachectl
