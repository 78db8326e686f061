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
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/described_tree.h"
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
  std::uint64_t files_opened = 0;
  std::uint64_t bytes = 0;            // read and hashed; hard links once
  std::uint64_t made = 0;             // names made in a tree
  std::vector<std::string> warnings;  // sentences for the user, at most 20
};
// Gets the bytes done and the total; of several threads, one after the other.
using LocalProgress = std::function<void(std::uint64_t done, std::uint64_t total)>;

// One sync of a local directory. The directory is looked at once; what is selected then is what is made, with the bytes that
// are there when it is. Uses all cores. O(names) memory. Errors of all of it: busy (a file changed twice while it was read, or
// became something else; named), invalid_argument (bad pattern), no_space (naming the file), cancelled, io. A file that
// vanishes meanwhile is left out.
class LocalSync {
 public:
  // dir is an open directory, not O_PATH; it is open as long as this lives. stats (may be null, outlives this) knows the
  // files that are as they were when they were last read, and learns the rest.
  static base::Result<LocalSync> look(int dir, const LocalFilter& filter, cache::StatCache* stats,
                                      std::stop_token stop = {});
  LocalSync(LocalSync&&) noexcept;
  LocalSync& operator=(LocalSync&&) noexcept;
  ~LocalSync();

  // The digest that copy() would give now; nothing is written. Opens only what stats did not know.
  base::Result<LocalScan> scan();
  // After scan(): what to do in a fork of base, which an earlier sync has made, to make it this one; nullopt: make it anew.
  base::Result<std::optional<cache::DescribedTree::Changes>> changes_from(const cache::ImmutableRef& base);
  // Makes the selection in `to`, which is empty and whose root stays as it is, or makes the changes in a fork. Every file that
  // is made is read and hashed on its way. The digest is of what is in the tree then: it equals cache::tree_digest(to, "/",
  // DigestRules::stream). On an error `to` holds a part of it and the caller abandons it. At most once, of both.
  base::Result<LocalScan> copy(const snapshot::MountedTree& to, std::stop_token stop = {}, const LocalProgress& progress = {});
  base::Result<LocalScan> update(const snapshot::MountedTree& fork, const cache::DescribedTree::Changes& changes,
                                 std::stop_token stop = {}, const LocalProgress& progress = {});
  // After one of them: what the tree holds.
  cache::DescribedTree take_description();

 private:
  struct State;
  explicit LocalSync(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

// Both, without anything known before.
base::Result<LocalScan> scan_local(int dir, const LocalFilter& filter, std::stop_token stop = {});
base::Result<LocalScan> copy_local(int dir, const LocalFilter& filter, const snapshot::MountedTree& to,
                                   std::stop_token stop = {}, const LocalProgress& progress = {});

}  // namespace cairn::solver
