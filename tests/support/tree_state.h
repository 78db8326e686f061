// SPDX-License-Identifier: Apache-2.0
// Everything that a tree holds, as text that can be compared: one line for each path in bytewise order, with type, mode,
// owner, size, nanosecond mtime, xattrs, link target or device, the digest of the contents, and for a further name of an
// inode its first one. Left out: inode numbers, link counts (a name that is whited out still counts), sizes of
// directories, atime, ctime, and the marks of overlays.
#pragma once

#include <string>

#include "libbase/result.h"

namespace cairn::test {

// dir: an open directory. Errors: io (something cannot be read), not_found.
base::Result<std::string> tree_state(int dir);

// The first line in which two states differ, with what each has; "" if they are equal.
std::string first_difference(const std::string& expected, const std::string& found);

}  // namespace cairn::test
