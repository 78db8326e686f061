// SPDX-License-Identifier: Apache-2.0
// How a solve looks while it runs: a live view on a terminal, plain lines elsewhere, or JSON lines. All on standard error.
#pragma once

#include <memory>
#include <string>

#include "libsolver/progress.h"

namespace cairn::cachectl {

enum class ProgressMode { automatic, plain, json, none };

// automatic: the live view if standard error is a terminal, else plain.
std::unique_ptr<solver::ProgressSink> make_progress_view(ProgressMode mode);

}  // namespace cairn::cachectl
