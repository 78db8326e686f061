// SPDX-License-Identifier: Apache-2.0
// Statements to commands and stages.
#pragma once

#include <variant>
#include <vector>

#include "libdockerfile/instructions/command.h"
#include "libdockerfile/lint/linter.h"
#include "libdockerfile/parse/source.h"

namespace cairn::dockerfile {

struct Stages {
  std::vector<Stage> stages;
  std::vector<Command> global_args;  // ARGs before the first FROM
};

// Errors: invalid_argument, "dockerfile parse error on line N: …" where the instruction is wrong in itself.
base::Result<Stages> parse_stages(const Source& source, Linter& linter, Lines& error_lines);

// One instruction that is no FROM.
base::Result<Command> parse_command(const Statement& statement, char escape, Linter& linter);

}  // namespace cairn::dockerfile
