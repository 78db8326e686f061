// SPDX-License-Identifier: Apache-2.0
// Applies a change stream to a tree. A file is never changed in place: it is made anew beside nothing, so that other
// names of the old inode, in this tree or another, keep what they had.
#pragma once

#include <sys/stat.h>

#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/deep_cursor.h"
#include "libsnapshot/changes.h"

namespace cairn::snapshot {

// What it took. Tests assert it.
struct ApplyCounts {
  std::uint64_t linked = 0;        // files that `make` made, without copying
  std::uint64_t bytes_copied = 0;  // of contents; none of clones and holes
};

struct ApplierOptions {
  // exact: the tree is the one that the changes start from. merge: it is any tree. What is in the way of a directory is
  // replaced, the directories above a change are as they are in the new tree (as they would be in a layer), and the root
  // keeps its metadata.
  enum class Onto { exact, merge } onto = Onto::exact;
  // The target is the upper directory of an overlay that is not mounted, and this is the tree that it lies on (its root
  // directory, open for reading): what goes leaves a whiteout, and a directory made anew hides the one below.
  std::optional<int> below = {};
  // Makes the non-directory of a change otherwise than by copying, where nothing has that name. False: it cannot.
  std::function<base::Result<bool>(const Change&, int directory, const char* name)> make = {};
  // Opens the contents of a file for copying, where they can be cloned from; an empty one: read the change.
  std::function<base::Result<base::Fd>(const Change&)> open = {};
  ApplyCounts* counts = nullptr;
};

class ChangeApplier {
 public:
  // target: the root directory of a tree that can be written, open for reading; it outlives the applier.
  ChangeApplier(int target, ApplierOptions options);

  // Changes of one stream, in its order. Errors: not_found (exact: the tree is another one), no_space, io.
  base::Status apply(const Change& change);
  // Gives the directories that were touched last their times. To be called once, at the end.
  base::Status finish();

 private:
  using Inode = std::pair<dev_t, ino_t>;
  // Where an inode of the new tree is in this one.
  struct Group {
    base::TreePath first;
    std::vector<base::TreePath> untouched;  // other names that were there before, and have not been looked at
    bool touched = false;                   // a name was made: an overlay may have parted it from those
  };

  base::Status go_to(const Change& change);
  base::Status enter(const std::string& name);
  base::Status leave();
  base::TreePath path_here(const std::string& name) const;
  base::Result<std::optional<mode_t>> type_below(const std::string& name) const;
  base::Status erase(const std::string& name);
  base::Status remove(const std::string& name);
  base::Status make_directory(const std::string& name);
  base::Status apply_root(const Change& change);
  base::Status apply_directory(const Change& change, const std::string& name);
  base::Status apply_file(const Change& change, const std::string& name);
  base::Status keep(const Change& change);
  base::Status gather(Group& group);
  base::Result<bool> link_to(const base::TreePath& first, int directory, const std::string& name);
  base::Result<bool> link_known(const Change& change, const std::string& name);
  base::Status make_file(const Change& change, const std::string& name);
  base::Status empty_directory(const std::string& name);

  int root_;
  ApplierOptions options_;
  base::DeepCursor cursor_;
  std::vector<std::string> names_;    // of the directories entered
  std::vector<char> hidden_;          // likewise: whether nothing of the tree below shows in it
  std::vector<timespec> times_;       // mtimes to restore: of the root, then of the directories entered
  std::map<Inode, Group> known_;      // of the new tree, if they may have other names
};

}  // namespace cairn::snapshot
