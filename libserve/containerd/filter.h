// SPDX-License-Identifier: Apache-2.0
// Filters of a list of snapshots, as containerd's metadata gives them a meaning.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/conditions.h"
#include "libcache/regex.h"
#include "libcache/tree_names.h"

namespace cairn::serve {

// One of them matches; none: everything does.
class SnapshotFilters {
 public:
  // Fields are name, parent, kind (view, active, committed) and labels.KEY; of another, nothing is there. Errors:
  // invalid_argument, with the place.
  static base::Result<SnapshotFilters> parse(std::span<const std::string> filters);
  bool match(const cache::NamedTree& tree) const;

 private:
  struct Test {
    cache::Condition condition;
    std::optional<cache::Regex> expression;
    bool holds(const cache::NamedTree& tree) const;
  };
  std::vector<std::vector<Test>> filters_;
};

}  // namespace cairn::serve
