// SPDX-License-Identifier: Apache-2.0
// Whether a step may take a result that is stored. It belongs to the request, not to the step: the same step can be asked
// for both ways, and what is made without looking is stored all the same.
#pragma once

#include <cstdint>

namespace cairn::solver {

enum class UseCache : std::uint8_t { yes, no };

}  // namespace cairn::solver
