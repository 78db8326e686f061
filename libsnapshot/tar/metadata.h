// SPDX-License-Identifier: Apache-2.0
// The part of extracting a member that is neither names nor bytes.
#pragma once

#include <string>

#include "libbase/result.h"
#include "libsnapshot/tar/tar_entry.h"

namespace cairn::snapshot {

// Gives `name` in `directory` the owner, mode and xattrs of the entry, and its time too unless it is a directory. name
// is one component and not followed; "." is the directory itself. Xattrs that the file system cannot hold are left out,
// as are overlay's own.
base::Status apply_metadata(const TarEntry& entry, int directory, const std::string& name);

}  // namespace cairn::snapshot
