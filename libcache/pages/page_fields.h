// SPDX-License-Identifier: Apache-2.0
// What differs of one name that two trees have, as far as their pages say it.
#pragma once

#include <vector>

#include "libcache/pages/page.h"
#include "libcache/tree_difference.h"

namespace cairn::cache {

// Of entries that differ. A page has one digest of header and bytes together: where the header of a file differs and its size
// does not, its time of modification tells whether its bytes do.
std::vector<DifferenceField> differing_fields(const PageEntry& first, const PageEntry& second);

}  // namespace cairn::cache
