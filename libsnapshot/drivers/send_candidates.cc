// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/drivers/send_candidates.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cerrno>
#include <unordered_set>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/trees/subvolume.h"
#include "libsnapshot/trees/walk.h"

namespace cairn::snapshot {
namespace {

using base::Status;

// The stream names one name of an inode that changed; it stands for all of them.
class LinkNames {
 public:
  explicit LinkNames(int upper) : upper_(upper) {}

  Status look_at(const std::string& path) {
    const auto parsed = base::TreePath::parse(path);
    if (!parsed) return {};
    const auto status = TRY(base::find_stat_beneath(upper_, *parsed));
    return status ? add(*status) : Status();
  }
  // Everything in a directory that lies at a new place now.
  Status look_into(const std::string& path) {
    const auto parsed = base::TreePath::parse(path);
    if (!parsed) return {};
    const auto directory = base::open_beneath(upper_, *parsed, O_RDONLY | O_DIRECTORY);
    if (!directory) return {};  // a file, or renamed once more
    Walk walk;
    walk.entry = [&](int parent, const base::DirEntry& entry) -> Status {
      struct ::stat status {};
      if (::fstatat(parent, entry.name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
        return base::fail_errno(errno, "stat \"{}\"", entry.name);
      }
      return add(status);
    };
    return walk_tree(directory->get(), walk);
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  Status add(const struct ::stat& status) {
    if (S_ISDIR(status.st_mode) || status.st_nlink < 2 || !seen_.insert(status.st_ino).second) return {};
    for (auto& name : TRY(names_of_inode(upper_, status.st_ino))) names_.push_back(std::move(name));
    return {};
  }

  int upper_;
  std::unordered_set<std::uint64_t> seen_;
  std::vector<std::string> names_;
};

}  // namespace

base::Result<TouchedPaths> paths_touched_between(int lower, int upper) {
  TouchedPaths touched;
  TRY(read_send_stream(TRY(send_between(lower, upper)), touched));
  LinkNames links(upper);
  for (const auto& path : touched.touched()) TRY(links.look_at(path));
  for (const auto& path : touched.whole()) TRY(links.look_into(path));
  for (const auto& name : links.names()) touched.add(name, TouchedPaths::Reach::itself);
  return touched;
}

}  // namespace cairn::snapshot
