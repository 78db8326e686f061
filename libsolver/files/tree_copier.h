// SPDX-License-Identifier: Apache-2.0
// Copies a file, or a directory with what patterns take of it, into another tree. A directory that patterns do not take is
// made once something below it is taken. Works on trees of any depth.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "libbase/fs/deep_cursor.h"
#include "libcache/pattern.h"
#include "libsolver/files/actions.h"
#include "libsolver/files/mode_text.h"
#include "libsolver/sources/node_metadata.h"

namespace cairn::solver {

class TreeCopier {
 public:
  // All of them outlive the copier. Errors: invalid_argument (a pattern or a mode that means nothing).
  static base::Result<TreeCopier> create(const wire::FileActionCopy& action, const Given& given,
                                         const CopyOptions& options);

  // Paths without links; the parent of the target is there. `stat` is that of the source.
  base::Status copy(int from, const base::TreePath& source, const struct ::stat& stat, int to,
                    const base::TreePath& target);

 private:
  using MatchInfo = cache::PatternList::MatchInfo;
  // What a directory of the target gets when everything is in it.
  enum class Finish { nothing, mode, times, metadata };
  struct Level {
    std::string name{};  // in the levels above, of source and target
    struct ::stat source {};
    bool is_entered = false;  // the target has it, and its cursor is in it
    bool is_taken = false;    // by the patterns themselves
    Finish finish = Finish::nothing;
    MatchInfo include{}, exclude{};
    std::vector<base::DirEntry> entries{};
    std::size_t next = 0;
  };
  struct Walk {
    base::DeepCursor source, target;
    std::vector<Level> levels;
    int target_top;
    std::map<std::pair<dev_t, ino_t>, base::TreePath> links;  // files with several names: where the first one is
    std::string path(const std::string& name) const;  // below the top
  };

  TreeCopier(const wire::FileActionCopy& action, const Given& given, const CopyOptions& options)
      : action_(action), given_(given), options_(options) {}

  base::Status copy_below(int source, int target);
  base::Status step(Walk& walk);
  base::Status visit(Walk& walk, const std::string& name);
  base::Status enter(Walk& walk, Level level);
  base::Status enter_all_targets(Walk& walk);
  base::Status enter_target(Walk& walk, Level& level);
  base::Status leave(Walk& walk);
  base::Result<Finish> make_target_dir(int directory, const std::string& name, const Level& level);
  base::Status make_room(int directory, const std::string& name);
  base::Status copy_other(int from, int to, const std::string& name, const std::string& new_name, const struct ::stat& stat);
  base::Status copy_file(int from, int to, const std::string& name, const std::string& new_name);
  base::Status finish(int from, int to, const struct ::stat& stat, Finish finish);
  mode_t mode_of(const struct ::stat& stat) const;

  const wire::FileActionCopy& action_;
  const Given& given_;
  const CopyOptions& options_;
  std::optional<ModeChange> mode_;
  std::optional<cache::PatternList> include_, exclude_;
  std::set<std::string> refused_xattrs_;
};

}  // namespace cairn::solver
