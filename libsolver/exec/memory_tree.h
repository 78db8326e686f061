// SPDX-License-Identifier: Apache-2.0
// An empty tree that is in memory only and mounted nowhere.
#pragma once

#include <string_view>

#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

// attributes: MOUNT_ATTR_… of mount_setattr(2). doing: what errors begin with.
base::Result<snapshot::MountedTree> make_memory_tree(std::string_view doing, unsigned attributes);

}  // namespace cairn::solver
