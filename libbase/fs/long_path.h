// SPDX-License-Identifier: Apache-2.0
// Links in paths that are too long for the kernel, and in paths that do not exist to their end.
#pragma once

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::base {

enum class LastLink { follow, keep };

// The path with its links followed as if dir were the root (RESOLVE_IN_ROOT), so that it can be opened without
// following any. What does not exist stays as it is. Races with other writers can change what is found but never lead
// out of dir, as long as the result is opened without following links. Errors: invalid_argument (more than 40 links).
Result<TreePath> resolve_long(int dir, const TreePath& path, LastLink last);

}  // namespace cairn::base
