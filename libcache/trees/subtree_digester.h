// SPDX-License-Identifier: Apache-2.0
// The digests of all that is below one directory of a tree on disk, by all cores. Directories wait in a queue that is
// worked off from its young end, so that what waits follows the depth of the tree and its widest directory; the names of a
// wide directory are shared out in pieces. At most 64 directories and one file per thread are open at a time.
#pragma once

#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/normalisation.h"
#include "libcache/pages/page.h"
#include "libcache/trees/contents_hash.h"
#include "libcache/trees/entry_reader.h"

namespace cairn::cache {

// Whether pages say which names are one inode.
enum class LinkGroups : std::uint8_t { told, left_out };

class SubtreeDigester {
 public:
  struct Options {
    DigestRules rules = DigestRules::scan;
    Normalisation normalisation;
    std::stop_token stop;
    unsigned threads = 0;        // 0: as many as there are cores
    StatCache* stats = nullptr;  // must be null with a normalisation
    // Takes the pages of the Merkle tree, one call at a time; without a normalisation and a stat cache only.
    std::function<void(const PageName&, std::string bytes)> pages = {};
    std::uint64_t link_salt = 0;  // tells the inodes of this tree from those of others
    LinkGroups links = LinkGroups::told;
    // Told of the bytes of files as they are read, on the thread that reads; it may wait.
    std::function<void(std::uint64_t bytes)> read = {};
  };
  // tree stays open meanwhile.
  SubtreeDigester(int tree, Options options);
  ~SubtreeDigester();

  // The digest of the contents of the directory at this path (clean: "/a/b" or ""). Errors: io (it vanishes, is no
  // directory, or changes), cancelled. Once per object.
  base::Result<Contents> digest(std::string_view path);
  // After digest(), if pages were asked for: the page of the directory, as an entry without a name.
  const PageEntry& page() const;
  DigestCounts counts() const;

 private:
  struct Directory;
  struct Task;
  class Worker;
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
