// SPDX-License-Identifier: Apache-2.0
// Which inode of the new tree stands for which of the old one, as far as a walk has seen names of them. It tells of a
// name that is as it was whether its links are, too.
#pragma once

#include <sys/stat.h>

#include <map>
#include <optional>
#include <utility>

namespace cairn::snapshot {

class LinkGroups {
 public:
  // A name that is in both trees with equal inodes. True if all that is known says that one became the other.
  bool kept(const struct ::stat& lower, const struct ::stat& upper) {
    const auto from = lower_to_upper_.try_emplace(key(lower), key(upper)).first;
    const auto to = upper_to_lower_.try_emplace(key(upper), key(lower)).first;
    return from->second == key(upper) && to->second == key(lower);
  }
  // A name whose inode is new or was changed: whoever applies makes a new inode for it.
  void made_anew(const struct ::stat& upper) { upper_to_lower_.try_emplace(key(upper), std::nullopt); }

 private:
  using Key = std::pair<dev_t, ino_t>;
  static Key key(const struct ::stat& status) { return {status.st_dev, status.st_ino}; }

  std::map<Key, Key> lower_to_upper_;
  std::map<Key, std::optional<Key>> upper_to_lower_;
};

}  // namespace cairn::snapshot
