// SPDX-License-Identifier: Apache-2.0
// The content digest of a tree: BuildKit's contenthash to the byte (spec/storage 3). It walks what the selection needs,
// with all cores where that is a whole directory, and remembers nothing. Two sets of rules give different digests for the root's header, devices and
// hard links: those for a tree scanned on disk, and those for a tree that was streamed in by a client.
#pragma once

#include <cstdint>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/normalisation.h"

namespace cairn::cache {

class StatCache;

enum class DigestRules : std::uint8_t { scan = 0, stream = 1 };

// Which part of a tree counts (spec/storage 3.4-3.5). path is absolute or relative to the root of the tree.
struct Selection {
  std::string path = "/";
  bool follow_links = false;
  bool wildcard = false;
  std::vector<std::string> include_patterns;
  std::vector<std::string> exclude_patterns;
  std::vector<std::string> required_paths;
  Normalisation normalisation = {};  // off by default; part of the digest, and of what names it in keys
  auto operator<=>(const Selection&) const = default;
};

struct DigestCounts {
  std::uint64_t files_opened = 0;
  std::uint64_t bytes_read = 0;
  std::uint64_t directories_listed = 0;
  std::uint64_t names_hashed = 0;  // names of directories whose contents were hashed as wholes
  std::uint64_t pages_read = 0;    // of the Merkle tree
  std::uint64_t remembered = 0;  // files and directory headers that the stat cache knew
  DigestCounts& operator+=(const DigestCounts& other);
};

// The digest of one selection of the tree at descriptor `tree` (O_PATH will do). Follows no link out of it. counts may
// be null; it is added to. Reads the files that are selected and lists the directories below the path (below the part
// of it before any wildcard), nothing else; memory follows the depth of the tree and its widest directory. The digest of a
// whole directory is computed by as many threads as there are cores, which end with the call. Safe to call
// from many threads on one tree. Required paths count only beside a wildcard or patterns, as in BuildKit. Errors:
// not_found (the path, a required path, a broken followed link), invalid_argument (too many links, bad pattern),
// cancelled, io (also if a file vanishes or changes while it is read; the message names it).
base::Result<TreeDigest> tree_digest(int tree, const Selection& selection, DigestRules rules, DigestCounts* counts,
                                     std::stop_token stop = {});

// What a CacheMap's content function gives for several selections: H(join(digests, NUL)), hashed once more even for one
// (spec/storage 3.6). Their paths lose a trailing slash. No selections means one of the whole root.
base::Result<TreeDigest> content_digest(int tree, const std::vector<Selection>& selections, DigestRules rules,
                                        DigestCounts* counts, std::stop_token stop = {});
// The same for a result without a tree (scratch): "/" is H(""), anything else is not_found.
base::Result<TreeDigest> content_digest_of_nothing(const std::vector<Selection>& selections);

// The digest of a selection of a directory of this machine, as if it were the top of a snapshot: scan rules, with the
// directory's own header. stats (may be null) saves reading what it knows, and learns the rest. Errors: those of
// tree_digest; not_found if there is no such directory.
base::Result<TreeDigest> digest_directory(const base::HostPath& directory, const Selection& selection,
                                          DigestCounts* counts, std::stop_token stop = {}, StatCache* stats = nullptr);

}  // namespace cairn::cache
