// SPDX-License-Identifier: Apache-2.0
// Where two trees differ, from their pages: a directory that is equal is not read.
#pragma once

#include <functional>
#include <optional>
#include <string>

#include "libcache/pages/page.h"
#include "libcache/tree_difference.h"

namespace cairn::cache {

struct PagedTree {
  std::optional<PageName> root;  // none: the empty tree
  PageLoad read;
};
// Visits what counts by the rules of trees on disk, in key order: added, removed and changed names, the paths as of
// each_difference(); fields are left empty. An error of the visitor ends it. O(names in the directories that differ).
// Errors: those of `read`, corrupt.
base::Status each_page_difference(const PagedTree& first, const PagedTree& second,
                                  const std::function<base::Status(TreeDifference)>& visit);

}  // namespace cairn::cache
