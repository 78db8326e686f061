// SPDX-License-Identifier: Apache-2.0
// Times as Go writes them (RFC 3339, up to nanoseconds).
#pragma once

#include <string>
#include <string_view>

#include "libbase/clock.h"
#include "libbase/result.h"

namespace cairn::solver {

// In UTC, without trailing zeros of the fraction.
std::string go_time(base::WallTime time);
// Any offset is understood; "" and Go's zero time are the beginning of 1970, as is what lies before. Errors: corrupt.
base::Result<base::WallTime> parse_go_time(std::string_view text);

}  // namespace cairn::solver
