// SPDX-License-Identifier: Apache-2.0
// Mounts what a cut left of a disk and lets somebody look at it, in a process that may die of what it finds.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "tests/support/block_device.h"

namespace cairn::test {

struct Violation {
  enum class Kind : std::uint32_t {
    unmountable,  // the file system itself did not survive
    unopenable,   // the store cannot be opened, read or worked with
    bad_tree,     // a committed row whose tree is not what was frozen (I1, I5)
    lost,         // what was acknowledged is not there
    came_back,    // what was acknowledged as gone is there
    stray,        // a tree that nothing names, or a row of ours without the other (I1, I6)
    crashed,      // the checking process died
  };
  Kind kind;
  std::string text;
};
std::string_view to_string(Violation::Kind kind);

// check gets the root of the mounted file system and runs in a child process. where: an empty directory.
std::vector<Violation> check_image(FileSystem kind, int image, const base::HostPath& where,
                                   const std::function<std::vector<Violation>(const base::HostPath&)>& check);

}  // namespace cairn::test
