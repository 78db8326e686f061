// SPDX-License-Identifier: Apache-2.0
// The source local://: a directory of the machine, as a client of BuildKit would send it (spec/solver 7.3). What a
// reader would get wrong: the digest is never of what the directory held at some time, but of the bytes that are in the
// tree afterwards; a file is read once, and the same buffer is hashed and written.
//
// What is sent: owners become 0:0; modes, nanosecond times, links, devices, fifos and xattrs stay (not com.apple.*, and
// not trusted.overlay.*, which a tree on overlayfs cannot hold). A socket becomes an empty file, as it does with
// BuildKit. Regular files with several names stay hard links of each other, as far as they are selected.
#pragma once

#include <cstdint>
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "libsnapshot/snapshotter.h"

namespace cairn::solver {

// Patterns are those of .dockerignore files (libcache/pattern.h). A directory that only lies above something selected
// is sent too, without its other contents.
struct LocalFilter {
  std::vector<std::string> include_patterns;  // empty: everything
  std::vector<std::string> exclude_patterns;
  // Names that are wanted with whatever their links lead to inside the directory; a wildcard is expanded only to find
  // links. They add to the include patterns; a name that is the root itself selects everything.
  std::vector<std::string> follow_paths;
  auto operator<=>(const LocalFilter&) const = default;
};

struct LocalScan {
  TreeDigest digest;                  // of the whole selection, by stream rules (the root's header is H(""))
  std::uint64_t entries = 0;          // names of any kind, without the root
  std::uint64_t files = 0;            // regular files, each name of a hard link counted
  std::uint64_t bytes = 0;            // read and hashed; hard links once
  std::vector<std::string> warnings;  // sentences for the user, at most 20
};

// The digest that copy_local would give now; nothing is written. `dir` is an open directory, not O_PATH.
// A file that vanishes meanwhile is left out. Errors: busy (a file changed twice while it was read; named),
// invalid_argument (bad pattern), cancelled, io. O(selected bytes).
base::Result<LocalScan> scan_local(int dir, const LocalFilter& filter, std::stop_token stop = {});

// Copies the selection into `to`, which is empty and whose root stays as it is. The digest is of what was written: it
// equals cache::tree_digest(to, "/", DigestRules::stream). On an error `to` holds a part of it and the caller abandons
// it. progress (may be empty) gets the bytes done and the total, which is what the directory walk saw. Errors: as
// scan_local, and no_space, naming the file.
using LocalProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;
base::Result<LocalScan> copy_local(int dir, const LocalFilter& filter, const snapshot::MountedTree& to,
                                   std::stop_token stop = {}, const LocalProgress& progress = {});

}  // namespace cairn::solver
