// SPDX-License-Identifier: Apache-2.0
// How a solve looks while it runs: a live view on a terminal, plain lines elsewhere, or JSON lines. All on standard error.
#pragma once

#include <memory>
#include <span>
#include <string>

#include "libsolver/progress.h"

namespace cairn::cachectl {

enum class ProgressMode { automatic, plain, json, none };

// automatic: the live view if standard error is a terminal, else plain.
std::unique_ptr<solver::ProgressSink> make_progress_view(ProgressMode mode);

// Whether a list of steps is the earlier one and more (ProgressSink::on_graph), so that nothing begins anew.
bool goes_on(std::span<const solver::StepInfo> before, std::span<const solver::StepInfo> now);
// "[2/7] name"; a name that says where it stands ("[stage-0 2/3] RUN ...") as it is.
std::string shown_name(std::span<const solver::StepInfo> steps, std::size_t step);

}  // namespace cairn::cachectl
