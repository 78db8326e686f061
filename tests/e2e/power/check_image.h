// SPDX-License-Identifier: Apache-2.0
// Mounts what a cut left of a disk, opens the store as its owner would, and says what is wrong with it.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "tests/e2e/power/workload.h"
#include "tests/support/disk/block_device.h"
#include "tests/support/disk/image.h"

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

// What the store has to hold after a cut.
struct Expected {
  std::vector<std::pair<snapshot::SnapshotId, std::string>> may_exist;  // with the state that it then has
  std::vector<snapshot::SnapshotId> must_exist, must_be_gone;
};
Expected expected_after(const std::vector<Event>& events, std::size_t cut_end);

// In a child process, which may die of what it finds. where: an empty directory; store: its name below the file system.
std::vector<Violation> check_image(FileSystem kind, int image, const base::HostPath& where, const std::string& store,
                                   const Expected& expected, const StoreOptions& options);

}  // namespace cairn::test
