// SPDX-License-Identifier: Apache-2.0
// Changes a tree at random: files of all sizes, links, directories, removals, renames, owners, modes and xattrs.
#pragma once

#include <cstdint>

namespace cairn::test {

// dir: an open directory of a writable tree. The same seed and tree give the same changes. Aborts if the disk refuses.
void change_at_random(int dir, std::uint64_t seed, int count);

}  // namespace cairn::test
