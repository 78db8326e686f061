// SPDX-License-Identifier: Apache-2.0
// Expands names into themselves and everything their symbolic links lead to inside a directory, so that a selection of
// a link selects what it stands for. Links never lead out: the directory is their root.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "libbase/result.h"

namespace cairn::solver {

// Relative paths, sorted, without those below another one; nullopt if the root is among them (everything is wanted).
// What does not exist is kept as it is: it may be a pattern. A chain of more than 255 links ends there.
// Errors: invalid_argument (a path that cannot exist: a NUL, a name over 255 bytes; links that multiply beyond 10,000
// paths), io.
base::Result<std::optional<std::vector<std::string>>> follow_paths(int dir, const std::vector<std::string>& paths);

}  // namespace cairn::solver
