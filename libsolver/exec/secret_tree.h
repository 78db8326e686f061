// SPDX-License-Identifier: Apache-2.0
// A secret as a file of a tree that lives in memory only, so that no disk ever holds it.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>

#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

inline constexpr const char* secret_file = "secret";  // its name in the tree

struct SecretFile {
  uid_t owner = 0;
  gid_t group = 0;
  mode_t mode = 0400;
};
// Its only entry is secret_file. The mount has neither devices nor set-id programs, and no programs at all unless the mode lets somebody execute it.
base::Result<snapshot::MountedTree> make_secret_tree(std::string_view secret, const SecretFile& file);

}  // namespace cairn::solver
