// SPDX-License-Identifier: Apache-2.0
#include "libdockerfile/lint/names.h"

#include <algorithm>
#include <array>
#include <set>
#include <string>

#include <fmt/format.h>

#include "libdockerfile/parse/text.h"

namespace cairn::dockerfile {

void check_stage_names(const std::vector<Stage>& stages, Linter& linter) {
  std::set<std::string> seen;
  for (const Stage& stage : stages) {
    if (stage.name.empty()) continue;
    if (stage.name == "scratch" || stage.name == "context") {
      linter.warn("ReservedStageName", stage.lines,
                  fmt::format("Stage name should not use the same name as reserved stage {}", go_quoted(stage.name)));
    }
    if (!seen.insert(stage.name).second) {
      linter.warn("DuplicateStageName", stage.lines,
                  fmt::format("Duplicate stage name {}, stage names should be unique", go_quoted(stage.name)));
    }
  }
}

void check_layout(const Source& source, Linter& linter) {
  for (const Lines lines : source.empty_continuations)
    linter.warn("NoEmptyContinuation", lines, "Empty continuation line");
  const auto in_lower = [](const Statement& statement) { return statement.name == lower(statement.name); };
  const auto in_upper = [](const Statement& statement) { return statement.name == upper(statement.name); };
  const auto lowers = std::count_if(source.statements.begin(), source.statements.end(), in_lower);
  const auto uppers = std::count_if(source.statements.begin(), source.statements.end(), in_upper);
  for (const Statement& statement : source.statements) {
    const bool wants_lower = lowers > uppers;
    if (wants_lower ? in_lower(statement) : in_upper(statement)) continue;
    linter.warn("ConsistentInstructionCasing", statement.lines,
                fmt::format("Command '{}' should match the case of the command majority ({})", statement.name,
                            wants_lower ? "lowercase" : "uppercase"));
  }
}

bool is_secret_name(std::string_view key) {
  constexpr std::array secrets{"apikey",   "auth",  "credential", "credentials", "key",
                               "password", "pword", "passwd",     "secret",      "token"};
  bool found = false;
  for (const std::string& word : split(lower(key), '_')) {
    if (word == "public") return false;
    found = found || std::find(secrets.begin(), secrets.end(), word) != secrets.end();
  }
  return found;
}

}  // namespace cairn::dockerfile
