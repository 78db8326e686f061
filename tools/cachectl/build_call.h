// SPDX-License-Identifier: Apache-2.0
// `build --call`: what is asked of a Dockerfile beside its image, and how the answers look.
#pragma once

#include <string_view>

#include "tools/cachectl/solve_options.h"

namespace cairn::cachectl {

struct BuildCall {
  engine::SolveOrder::Call call = engine::SolveOrder::Call::build;
  bool describes = false;  // which calls there are: nobody has to be asked
  enum class Format : std::uint8_t { text, json } format = Format::text;
  bool ignores_status = false;  // warnings of a check are no failure
};

// "NAME[,format=json][,ignorestatus=true]", as `docker buildx build` takes it. Errors: invalid_argument.
base::Result<BuildCall> parse_build_call(std::string_view text);

// The answer on standard output, and the exit code: that of the run, or failed where a check has warnings.
ExitCode print_call(const BuildCall& call, const SolveRun& run, Output output);
ExitCode print_subrequests(const BuildCall& call, Output output);

}  // namespace cairn::cachectl
