// SPDX-License-Identifier: Apache-2.0
// Which paths of a directory a LocalFilter selects, asked for in the order of a walk: a directory before what is in it.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/result.h"
#include "libcache/pattern.h"
#include "libsolver/sources/local_dir.h"

namespace cairn::solver {

class PathFilter {
 public:
  // Follows filter.follow_paths in `dir` now. Errors: invalid_argument (bad pattern), io.
  static base::Result<PathFilter> compile(int dir, const LocalFilter& filter);

  // What a directory hands to its children; default-constructed for those of the root.
  struct Level {
    cache::PatternList::MatchInfo include, exclude;
  };
  enum class Verdict {
    take,
    pass,   // not this, but something below it may be taken
    prune,  // neither this nor anything below it
  };
  // Only a directory may be answered `prune`. `own` is filled for its children.
  enum class Kind { directory, other };
  base::Result<Verdict> judge(std::string_view path, Kind kind, const Level& parent, Level& own) const;

 private:
  // The plain text that begins every path a pattern can match.
  struct Start {
    std::string text;
    bool open = false;  // followed by a wildcard
  };
  static std::optional<Start> start_of(std::string_view pattern);
  static bool may_match_below(const std::optional<std::vector<Start>>& starts, std::string_view path);

  std::optional<cache::PatternList> include_, exclude_;
  // Of the patterns that take something (includes; exceptions among excludes). nullopt: some pattern defies analysis,
  // so nothing is pruned.
  std::optional<std::vector<Start>> include_starts_, exception_starts_;
};

}  // namespace cairn::solver
