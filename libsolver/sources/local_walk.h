// SPDX-License-Identifier: Apache-2.0
// The first half of reading a local directory: which entries a filter selects and what they are, by all cores and without
// opening any file. The second half (local_sync.cc) then takes them one by one, so that files can be read in any order.
#pragma once

#include <sys/stat.h>

#include <cstdint>
#include <memory>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "libbase/fs/fd.h"
#include "libbase/result.h"
#include "libcache/directory_stats.h"
#include "libsolver/sources/local_dir.h"
#include "libsolver/sources/sent_entry.h"

namespace cairn::solver {

struct LocalEntry {
  static constexpr std::uint32_t none = UINT32_MAX;

  std::string name;
  std::uint32_t parent = none;  // the index of its directory; none: the root
  std::uint32_t link = none;    // the index of the first selected name of the same regular file
  mode_t mode = 0;              // a socket is here already the empty file that it becomes
  std::uint64_t size = 0;       // of regular files
  dev_t device = 0;
  timespec modified{};
  std::string target;        // of a symlink
  Xattrs xattrs;             // as they are sent; of a regular file empty until it is opened
  bool has_content = false;  // a regular file to be opened, unlike what a socket becomes
  // The digests as a client sends the entry, of a directory those of its header. Of a file to be opened only if the stat
  // cache knows it.
  cache::NameContent content;
  bool is_known = false;
};

struct LocalWalk {
  std::vector<LocalEntry> entries;  // siblings bytewise by name, each directory followed by what is in it
  std::uint64_t bytes = 0;          // of the regular files, links once
  std::uint64_t files_known = 0;    // to the stat cache
  std::vector<std::string> warnings;
  // What the stat cache knows of each directory, by its index (none: the root). Empty without a stat cache.
  std::unordered_map<std::uint32_t, std::unique_ptr<cache::DirectoryStats>> stats;

  std::string path_of(std::uint32_t index) const;  // "a/b"; none: ""
};

// stats may be null; it outlives the walk. Errors: as of scan_local().
base::Result<LocalWalk> walk_local(int dir, const LocalFilter& filter, std::stop_token stop,
                                   cache::StatCache* stats = nullptr);

// statx, with all that the stat cache wants.
base::Result<cache::StatX> look_at(int dir, const char* name, int flags);
// The entry as a client sends it.
cache::TreeEntry sent_entry(const LocalEntry& entry);

// The xattrs that are sent.
Xattrs sent_xattrs(Xattrs all);

// Descriptors of directories beneath a root, by their index in a walk. The last one and those above it are kept, for
// entries come in order.
class DirectoryCursor {
 public:
  DirectoryCursor(int root, const LocalWalk& walk) : root_(root), walk_(walk) {}
  // Owned by the cursor, valid until the next call. Errors: not_found, invalid_argument (a link on the way), io.
  base::Result<int> at(std::uint32_t directory);

 private:
  bool is_above(std::uint32_t ancestor, std::uint32_t directory) const;

  int root_;
  const LocalWalk& walk_;
  std::vector<std::pair<std::uint32_t, base::Fd>> open_;  // each lies above the next; not every level need be there
};

}  // namespace cairn::solver
