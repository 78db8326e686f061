// SPDX-License-Identifier: Apache-2.0
// What the archive library does not tell about a member's raw header: it cuts names at a NUL, takes unknown types for
// files and loses the fraction of times before 1970. So the raw blocks are looked at once more beside it.
#pragma once

#include <ctime>
#include <functional>
#include <optional>
#include <string_view>

#include "libbase/result.h"

namespace cairn::snapshot {

struct HeaderFacts {
  char type = '0';                 // of the member itself
  std::optional<timespec> mtime;   // from a pax record, exactly
};

// bytes: what the archive holds from the member's first header block (extended headers included) on. Errors: corrupt
// (damaged extended header), invalid_argument (a NUL in a name, an unknown type).
base::Result<HeaderFacts> check_header(std::string_view bytes);

// "1234.5", "-0.25" and the like, exact to the nanosecond, rounded towards the past as file systems do.
base::Result<timespec> parse_pax_time(std::string_view text);

}  // namespace cairn::snapshot
