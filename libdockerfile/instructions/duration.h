// SPDX-License-Identifier: Apache-2.0
// Durations as Go writes and reads them: "1h2m3.5s", "300ms".
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "libbase/result.h"

namespace cairn::dockerfile {

// Nanoseconds. Errors: invalid_argument.
base::Result<std::int64_t> parse_duration(std::string_view text);
std::string print_duration(std::int64_t nanoseconds);

}  // namespace cairn::dockerfile
