// SPDX-License-Identifier: Apache-2.0
// Giving a file of any kind its metadata through a descriptor, so that no name is looked up twice and no link followed.
#pragma once

#include <sys/stat.h>

#include <string>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libsolver/sources/sent_entry.h"

namespace cairn::solver {

struct NodeMetadata {
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0;  // type and permissions; the permissions of a symlink are not set
  timespec modified{};
  Xattrs xattrs;
};

// fd may be O_PATH. Returns the names of the xattrs that this file system or user may not set; they are left out.
// Errors: no_space, io.
base::Result<std::vector<std::string>> set_metadata(int fd, const NodeMetadata& metadata);

// An O_PATH descriptor of a name in a directory; a symlink is opened itself.
base::Result<base::Fd> open_node(int directory, const std::string& name);

}  // namespace cairn::solver
