// SPDX-License-Identifier: Apache-2.0
// What a bucket answers when it is asked which objects it has (ListObjectsV2).
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"

namespace cairn::remote {

struct Listing {
  std::vector<std::string> keys;
  bool goes_on = false;  // there are more of them after these
};
// Keys with characters that XML writes in another way are left out: none of ours has them. Errors: corrupt (no such
// document).
base::Result<Listing> parse_listing(std::string_view document);

}  // namespace cairn::remote
