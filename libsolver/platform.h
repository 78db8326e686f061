// SPDX-License-Identifier: Apache-2.0
// Platforms as containerd normalises them (spec/solver 2): the same machine has many spellings on the wire, and one in
// cache keys.
#pragma once

#include "libsolver/wire/ops.h"

namespace cairn::solver {

wire::Platform host_platform();  // of this machine, normalised
// Lower case, aliases resolved, default variants dropped, features sorted. Unknown fields do not survive.
wire::Platform normalize_platform(const wire::Platform& platform);

}  // namespace cairn::solver
