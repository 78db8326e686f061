// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "libsolver/progress.h"

namespace cairn::cachectl {

// The live view: finished steps scroll away upwards, running ones stand at the bottom with their time and last line of
// output. Needs a terminal on standard error.
std::unique_ptr<solver::ProgressSink> make_live_view();

}  // namespace cairn::cachectl
