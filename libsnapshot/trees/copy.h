// SPDX-License-Identifier: Apache-2.0
// Copies a tree with everything a tree holds: owners, modes, nanosecond times, xattrs, hard links, devices, fifos,
// sockets and holes. A copied socket has nothing behind it, but a fork that lacked it would differ from its parent.
#pragma once

#include "libbase/result.h"
#include "libsnapshot/trees/copy_data.h"

namespace cairn::snapshot {

// Fills the empty directory `to` with what is in the directory `from` and gives it the metadata of `from`. Neither is
// changed by others meanwhile. The number of open descriptors does not depend on the depth. O(entries + bytes).
// Errors: no_space, io.
base::Status copy_tree(int from, int to, CopyData data);

enum class OverlayMarks { keep, drop };
// Gives directory `to` the owner, mode, xattrs and times of directory `from`. drop: without those of overlayfs,
// which describe the layer and not the tree.
base::Status copy_directory_metadata(int from, int to, OverlayMarks marks);

}  // namespace cairn::snapshot
