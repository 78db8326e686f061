// SPDX-License-Identifier: Apache-2.0
// Copies a tree with everything a tree holds: owners, modes, nanosecond times, xattrs, hard links, devices, fifos,
// sockets and holes. A copied socket has nothing behind it, but a fork that lacked it would differ from its parent.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <string>

#include "libbase/result.h"
#include "libsnapshot/trees/copy_data.h"

namespace cairn::snapshot {

// A name that is about to be copied.
struct LeafToCopy {
  const std::string& prefix;  // the directory that holds it: "" or a path that ends in a slash
  const std::string& name;
  const struct ::stat& status;
  int to;  // the directory it goes into
};
// Makes it otherwise, with its metadata: true. False: it is to be copied. An error ends the copying.
using MakeLeaf = std::function<base::Result<bool>(const LeafToCopy&)>;

// Fills the empty directory `to` with what is in the directory `from` and gives it the metadata of `from`. Neither is
// changed by others meanwhile. The number of open descriptors does not depend on the depth. O(entries + bytes).
// make_leaf is asked first about each name that is no directory, but not about further names of one inode.
// Errors: no_space, io, those of make_leaf.
base::Status copy_tree(int from, int to, CopyData data, const MakeLeaf& make_leaf = {});

enum class OverlayMarks { keep, drop };
// Gives directory `to` the owner, mode, xattrs and times of directory `from`. drop: without those of overlayfs,
// which describe the layer and not the tree.
base::Status copy_directory_metadata(int from, int to, OverlayMarks marks);

}  // namespace cairn::snapshot
