// SPDX-License-Identifier: Apache-2.0
// Sizes as BuildKit's configuration writes them.
#pragma once

#include <string_view>

#include "libcache/policy.h"

namespace cairn::cache {

// Every unit is binary there: "10GB" are 10 x 2^30 bytes. Or percent. Errors: invalid_argument.
base::Result<Space> parse_buildkit_space(std::string_view text);

}  // namespace cairn::cache
