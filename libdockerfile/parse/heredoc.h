// SPDX-License-Identifier: Apache-2.0
// "<<NAME" and what follows on the lines below.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::dockerfile {

struct Heredoc {
  std::string name;
  bool expand = true;  // the name is not quoted
  bool chomp = false;  // "<<-": tabs at the front of lines go
  std::string content;
};

// nullopt: the word is none.
base::Result<std::optional<Heredoc>> parse_heredoc(std::string_view word);
// Those of a line, in order.
base::Result<std::vector<Heredoc>> heredocs_of(std::string_view line);
std::string without_leading_tabs(std::string_view content);

}  // namespace cairn::dockerfile
