// SPDX-License-Identifier: Apache-2.0
// The content digest of a whole tree by stream rules (spec/storage 3.1-3.3), folded while entries go by in order, so
// that bytes can be hashed on their way into the tree. cache::StreamedTree gives the same and answers any question in
// any order, but keeps every record; this keeps one hash per level.
#pragma once

#include <sys/stat.h>

#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libcache/tree_entry.h"

namespace cairn::solver {

using Xattrs = std::map<std::string, std::string>;

// The hash of an entry as a client announces it, owned by 0:0. mode: st_mode; size counts for regular files only,
// device for devices only, link for symlinks only.
cache::EntryHasher stream_hasher(mode_t mode, std::uint64_t size, std::string_view link, dev_t device,
                                 const Xattrs& xattrs);

// Folds entries into the digest of their root. They come in walk order: siblings bytewise, each directory followed by
// what is in it and a leave().
class StreamDigest {
 public:
  StreamDigest();
  void leaf(std::string_view name, const TreeDigest& digest);
  void enter(std::string_view name, const TreeDigest& header);
  void leave();
  // Every directory that was entered has been left.
  TreeDigest finish();

 private:
  struct Level {
    std::string name;
    base::Sha256 hash;
    // Entries whose name begins with 0xff, by key: BuildKit hashes them once more in the parent (spec/storage 3.3).
    std::vector<std::pair<std::string, TreeDigest>> again;
  };
  static void add(Level& level, std::string_view key, const TreeDigest& digest);
  std::vector<Level> levels_;
};

}  // namespace cairn::solver
