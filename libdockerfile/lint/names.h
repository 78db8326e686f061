// SPDX-License-Identifier: Apache-2.0
// Build checks of the file as a whole and of single words.
#pragma once

#include <string_view>
#include <vector>

#include "libdockerfile/instructions/command.h"
#include "libdockerfile/lint/linter.h"
#include "libdockerfile/parse/source.h"

namespace cairn::dockerfile {

void check_stage_names(const std::vector<Stage>& stages, Linter& linter);
// Whether instructions are written in the case that most of them have, and continuations have no empty lines.
void check_layout(const Source& source, Linter& linter);
// Whether a variable is named as what should not be in an image.
bool is_secret_name(std::string_view key);

}  // namespace cairn::dockerfile
