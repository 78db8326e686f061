// SPDX-License-Identifier: Apache-2.0
// Copies a tree out of the store into a directory of the machine (--output type=local,dest=DIR).
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

struct ExportReport {
  std::uint64_t entries = 0;          // names made or replaced, directories included
  std::uint64_t files = 0;            // regular files, each name of a hard link counted
  std::uint64_t bytes = 0;            // of their content, hard links once
  std::vector<std::string> warnings;  // sentences for the user, at most 20
};

// Copies everything in `from` into `dest`, which is made (0755, with its parents) if missing and keeps its own
// metadata. Names that are there already are replaced, never written to and never followed if they are links;
// directories are merged and take the metadata of the tree; other names stay. Owners (as root), modes, modification
// times, hard links, symlinks, devices, fifos, and the xattrs user.* and security.capability are kept; xattrs that
// dest's file system refuses give a warning. Data is cloned where the file systems can. What was copied before an error
// stays. progress (may be empty) gets the bytes done; the total is not known: 0. Errors: already_exists (a directory
// that is not empty, where the tree has something else), no_space (naming the file), cancelled, io.
base::Result<ExportReport> export_local(
    const snapshot::MountedTree& from, const base::HostPath& dest, std::stop_token stop = {},
    const std::function<void(std::uint64_t done, std::uint64_t total)>& progress = {});

}  // namespace cairn::solver
