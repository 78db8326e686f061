// SPDX-License-Identifier: Apache-2.0
// Finds out which drivers work by using what they use. Versions and module lists do not tell: it depends on the kernel,
// our privileges and the file system below.
#pragma once

#include <string_view>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::snapshot {

// Each works in a directory of its own beneath scratch (which exists) and leaves nothing there. Errors: unavailable or
// invalid_argument if this place cannot do it, with the reason; other codes if it could not be found out this time.

// A detached mount, a whiteout, a rename, an opaque directory.
base::Status probe_overlay(const base::HostPath& scratch);
// A subvolume, a fork of it, what it holds, and the end of both.
base::Status probe_btrfs(const base::HostPath& scratch);
// That a clone of a file has the blocks of the file, and its own after it was written to.
base::Status probe_reflink(const base::HostPath& scratch);

}  // namespace cairn::snapshot
