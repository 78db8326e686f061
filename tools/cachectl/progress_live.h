// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "libsolver/progress.h"

namespace cairn::cachectl {

// The live view: finished steps scroll away upwards, running ones stand at the bottom with their time and last line of
// output. Needs a terminal on standard error.
std::unique_ptr<solver::ProgressSink> make_live_view();

// Whether a list of steps is the earlier one and more (ProgressSink::on_graph), so that nothing begins anew.
bool goes_on(std::span<const solver::StepInfo> before, std::span<const solver::StepInfo> now);
// "[2/7] name"; a name that says where it stands ("[stage-0 2/3] RUN ...") as it is.
std::string shown_name(std::span<const solver::StepInfo> steps, std::size_t step);

}  // namespace cairn::cachectl
