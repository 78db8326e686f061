// SPDX-License-Identifier: Apache-2.0
// A place in a tree that steps down and up with one open descriptor, however deep the tree is. A step down follows no
// link and enters no mount; a step up is "..", checked to be the directory that was left. For walks of whole trees.
#pragma once

#include <string>
#include <vector>

#include "libbase/fs/beneath.h"

namespace cairn::base {

class DeepCursor {
 public:
  // Starts in base, which must outlive the cursor.
  explicit DeepCursor(int base) : base_(base) {}

  struct Frame {
    std::string name;  // in the directory above
    dev_t device = 0;
    ino_t inode = 0;
    std::vector<std::string> pending;  // directories in it that the walk has still to enter; the walker's own
    int visits = 1;                    // likewise
  };

  int fd() const { return frames_.empty() ? base_ : fd_.get(); }
  std::size_t depth() const { return frames_.size(); }
  Frame& top() { return frames_.back(); }

  // Enters a directory. Errors: not_found (gone, or no directory), busy (a mount), unavailable (no mount, and yet
  // another device number: a subvolume).
  Status enter(std::string name);
  // Errors: busy if the directory was moved meanwhile.
  Status leave();

  std::string path() const;  // below base, for messages

 private:
  int base_;
  Fd fd_;  // of the last frame
  std::vector<Frame> frames_;
};

// The entries in the order of the file system, without "." and "..", the type perhaps DT_UNKNOWN; from the start of the
// directory, whatever was read from this descriptor before.
Result<std::vector<DirEntry>> read_entries(int dir);

}  // namespace cairn::base
