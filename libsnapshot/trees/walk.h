// SPDX-License-Identifier: Apache-2.0
// A walk through a tree that nobody changes meanwhile. Descends by name and comes back by "..", so that depth costs no
// descriptors; enters what is mounted in it and subvolumes.
#pragma once

#include <functional>

#include "libbase/fs/beneath.h"

namespace cairn::snapshot {

struct Walk {
  // For each entry that is not a directory, with the directory that holds it.
  std::function<base::Status(int directory, const base::DirEntry& entry)> entry;
  // For each directory, the top one last: everything in it has been visited. May be empty.
  std::function<base::Status(int directory)> leave;
};
// Errors: those of the functions, io.
base::Status walk_tree(int top, const Walk& walk);

}  // namespace cairn::snapshot
