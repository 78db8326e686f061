// SPDX-License-Identifier: Apache-2.0
// Copies the contents of one file. Holes stay holes: a copy must not take more blocks than the original.
#pragma once

#include <sys/types.h>

#include <cstdint>

#include "libbase/result.h"

namespace cairn::snapshot {

// clone: the blocks are shared (FICLONE) where that is possible. bytes: copy_file_range, which some file systems make
// sharing of too.
enum class CopyData { clone, bytes };

// Fills the empty file `to` with the first `size` bytes of `from`, both open. Returns the bytes that were copied: none of
// a hole or a clone. Errors: no_space, io.
base::Result<std::uint64_t> copy_data(int from, int to, off_t size, CopyData data);

}  // namespace cairn::snapshot
