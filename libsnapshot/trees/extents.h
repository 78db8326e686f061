// SPDX-License-Identifier: Apache-2.0
// What files share with others, as their extents tell.
#pragma once

#include <cstdint>

#include "libbase/result.h"

namespace cairn::snapshot {

// The bytes of an open file whose blocks belong to another file too. If there are any, what was written to the file is
// written out, because only then the blocks part.
// Errors: io, unavailable (the file system does not tell).
base::Result<std::int64_t> shared_bytes_of_file(int file);

// Of a tree: the allocated bytes of its files that are not theirs alone; a clone within the tree counts as if it
// belonged to another. Hard links count once. Files that share something and were written to are written out. O(files).
// Errors: io, unavailable.
base::Result<std::int64_t> shared_bytes(int tree);

}  // namespace cairn::snapshot
