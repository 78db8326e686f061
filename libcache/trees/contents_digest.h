// SPDX-License-Identifier: Apache-2.0
// The digest of a directory's contents (spec/storage 3.3), from its records in key order: the hash of every child's
// name and digest, a child directory giving the digest of its own contents. Keeps one hash per level, not per entry.
#pragma once

#include <string>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libcache/trees/records.h"

namespace cairn::cache {

class ContentsDigest {
 public:
  // To be visited with a directory record first, then with all that is below it. Errors: io (it begins with another
  // record, so the tree has changed since it was looked up), not_found (a directory without its header).
  base::Result<Step> visit(const RecordView& record);
  // Errors: not_found if nothing was visited, or as above.
  base::Result<TreeDigest> finish();

 private:
  struct Child {
    std::string name;  // its key without that of the directory: begins with NUL
    TreeDigest digest;
  };
  struct Level {
    std::string key;
    base::Sha256 hash;
    bool has_header = false;
    // Skipping a finished directory passes over its names up to those that begin with byte FF: these are hashed again
    // in the directory above, each with what its own contents add by the same rule. An oddity that must be kept.
    std::vector<Child> again;
  };
  static void add(Level& level, Child child);
  base::Status close_level();

  std::vector<Level> levels_;
  TreeDigest result_;
  bool is_done_ = false;
};

}  // namespace cairn::cache
