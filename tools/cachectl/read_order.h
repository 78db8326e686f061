// SPDX-License-Identifier: Apache-2.0
// The two halves of reading the options of a solve: what can only be said wrongly, and what has to be looked up.
#pragma once

#include "tools/cachectl/solve_options.h"

namespace cairn::cachectl {

// Errors: of usage.
base::Status read_usage(const SolveOptions& options, engine::SolveOrder& order);
// Secrets and files. Errors: invalid_argument (usage), not_found, io.
base::Status read_files(const SolveOptions& options, engine::SolveOrder& order);

}  // namespace cairn::cachectl
