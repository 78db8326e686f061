// SPDX-License-Identifier: Apache-2.0
// Whether this process is root of the machine or only of a user namespace: there overlays keep their marks in user.*
// xattrs, and no device can be made.
#pragma once

#include <string>

#include "libbase/result.h"

namespace cairn::snapshot {

// The map of user ids of this process, as /proc has it. Errors: io.
base::Result<std::string> read_uid_map();
// False if it cannot be told.
bool in_user_namespace();

}  // namespace cairn::snapshot
