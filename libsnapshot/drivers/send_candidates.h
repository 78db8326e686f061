// SPDX-License-Identifier: Apache-2.0
// Where two subvolumes can differ, as the kernel tells by a send stream.
#pragma once

#include "libsnapshot/drivers/send_stream.h"

namespace cairn::snapshot {

// The paths between two read-only subvolumes, open at their roots, that may differ, and all names of the inodes behind
// them, so that whoever keeps hard links together sees each of them. O(changes + what is in directories that were
// renamed or made). Errors: unavailable (the kernel does not tell), corrupt, io.
base::Result<TouchedPaths> paths_touched_between(int lower, int upper);

}  // namespace cairn::snapshot
