// SPDX-License-Identifier: Apache-2.0
// Which paths make the digests of two selections differ, and in what: the answer to "why was that a miss?".
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "libcache/tree_digest.h"

namespace cairn::cache {

// What of an entry differs. Only what counts in the digests is looked at: times do if the selection's policy says so.
enum class DifferenceField : std::uint8_t { type, content, mode, owner, xattr, device, time };
std::string_view to_string(DifferenceField field);

struct TreeDifference {
  enum class Kind : std::uint8_t { added, removed, changed };  // from the first tree to the second
  std::string path;  // as the digest sees it: relative to the selection's path; "" for that itself
  Kind kind = Kind::changed;
  std::vector<DifferenceField> fields;  // of a changed one, in the order above
  bool operator==(const TreeDifference&) const = default;
};
std::string_view to_string(TreeDifference::Kind kind);

// One side: a tree at a descriptor, and the rules by which its digest is taken.
struct SelectedTree {
  int tree = -1;
  DigestRules rules = DigestRules::scan;
};

// Visits the differences in key order. Every name that is selected is looked at, and the bytes of those that differ. Links
// are not followed, except that at the end of the path if the selection says so. The trees hold still meanwhile. An error of
// the visitor ends it. Errors: those of tree_digest. Memory: names and digests of the first selection.
base::Status each_difference(const SelectedTree& first, const SelectedTree& second, const Selection& selection,
                             const std::function<base::Status(const TreeDifference&)>& visit, std::stop_token stop = {});

}  // namespace cairn::cache
