// SPDX-License-Identifier: Apache-2.0
// The capabilities of steps, as sets of bits with the numbers of linux/capability.h.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libsolver/executor.h"

namespace cairn::solver {

// The usual capabilities, or (insecure) all there are, as far as this process could give them away. It asks the kernel.
std::uint64_t step_capabilities(SecurityMode security);

// "CAP_CHOWN", ...
std::vector<std::string> capability_names(std::uint64_t capabilities);

}  // namespace cairn::solver
