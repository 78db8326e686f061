// SPDX-License-Identifier: Apache-2.0
// The digest of a directory's contents from its records in key order, for sources that know no better way. Keeps one hash
// per level, not per entry.
#pragma once

#include <string>
#include <vector>

#include "libcache/trees/contents_hash.h"
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
  struct Level {
    std::string key;
    ContentsHash hash;
    bool has_header = false;
  };
  base::Status close_level();

  std::vector<Level> levels_;
  TreeDigest result_;
  bool is_done_ = false;
};

}  // namespace cairn::cache
