// SPDX-License-Identifier: Apache-2.0
// Subvolumes of btrfs, by the ioctls: made, forked, measured and destroyed. Nothing here needs quotas, which make forks
// five times and syncs twenty times as expensive; what a fork takes is found by the age of its extents instead.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "libbase/fs/fd.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

// Whether an open directory is the root of a subvolume. Errors: io.
base::Result<bool> is_subvolume(int directory);

// A new empty subvolume in an open directory. Its mode is what the umask leaves of 0777. Errors: unavailable (not
// btrfs), already_exists, no_space, io.
base::Status create_subvolume(int directory, const std::string& name);

// A fork of the subvolume whose root is open as `source`. It is durable when this returns, with all that was written to
// the source before, and so are all names of the file system: it costs a commit of the file system, however big the
// subvolume is. Subvolumes inside the source are empty directories in the fork. Errors: as create_subvolume.
base::Status fork_subvolume(int source, int directory, const std::string& name, Access access);

// Destroys the subvolume of that name and those inside it; the kernel frees the space later. O(1 + subvolumes inside).
// Errors: busy (not a subvolume), io. After an error some of those inside may be gone.
base::Status destroy_subvolume(int directory, const std::string& name);

// The ids of all subvolumes inside the one that an open directory belongs to, each after those that lie in it. Needs
// CAP_SYS_ADMIN. Errors: io.
base::Result<std::vector<std::uint64_t>> nested_subvolumes(int directory);

// What the subvolume whose root is open holds that the one it was forked from does not: bytes of data extents that are
// younger than the fork, new inodes, sizes of files that changed; of one that was not forked, all. Counts what is on
// the disk: what was written after the last commit of the file system is not seen. O(changes). Needs CAP_SYS_ADMIN.
// Errors: io, corrupt.
base::Result<Usage> measure_subvolume(int subvolume);

// What "btrfs send" says of the way from one read-only subvolume to another, without the contents of files (a stream of
// version 1). Both are open at their roots. O(changes) of time, and of memory. Needs CAP_SYS_ADMIN. Errors: io (also if
// one of them can be written to).
base::Result<std::string> send_between(int lower, int upper);

// All names of an inode, from the root of the subvolume that is open. Needs CAP_DAC_READ_SEARCH. Errors: unavailable
// (more than the kernel tells), io.
base::Result<std::vector<std::string>> names_of_inode(int subvolume, std::uint64_t inode);

}  // namespace cairn::snapshot
