// SPDX-License-Identifier: Apache-2.0
// A filter of a walk over snapshots, in the language of containerd's filters as far as it has a meaning here: conditions
// with commas between them, all of which must hold. What may stand in one is said at Snapshotter::walk.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libsnapshot/snapshotter.h"

namespace cairn::snapshot {

class Filter {
 public:
  // Errors: invalid_argument, with the place.
  static base::Result<Filter> parse(std::string_view text);
  bool matches(const SnapshotInfo& info) const;

 private:
  enum class Field { name, kind, parent, label };
  enum class Test { present, equal, different };
  struct Condition {
    Field field = Field::name;
    std::string key;  // of a label
    Test test = Test::present;
    std::string value;
  };
  class Parser;
  static bool holds(const Condition& condition, const SnapshotInfo& info);

  std::vector<Condition> conditions_;
};

}  // namespace cairn::snapshot
