// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/copy.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libbase/fs/fd.h"
#include "libsnapshot/changes.h"
#include "libsnapshot/trees/copy_data.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

// Where a hard link was first copied to, by device and inode of the original.
using Links = std::map<std::pair<dev_t, ino_t>, std::string>;

base::Result<Fd> open_at(int directory, const char* name, int flags, mode_t mode = 0) {
  Fd fd(::openat(directory, name, flags | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return base::fail_errno(errno, "open \"{}\"", name);
  return fd;
}

Status set_times(int directory, const char* name, const struct ::stat& status) {
  const std::array<timespec, 2> times = {status.st_atim, status.st_mtim};
  if (::utimensat(directory, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set times of \"{}\"", name);
  }
  return {};
}

// Owner first (a change of owner clears the set-uid bits and the capabilities), then mode, xattrs, and times last.
Status copy_metadata(int from, int to, const std::string& name, const struct ::stat& status) {
  if (::fchownat(to, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set owner of \"{}\"", name);
  }
  if (!S_ISLNK(status.st_mode) && ::fchmodat(to, name.c_str(), status.st_mode & 07777, 0) != 0) {
    return base::fail_errno(errno, "set mode of \"{}\"", name);
  }
  for (const auto& [key, value] : TRY(base::list_xattrs_at(from, name))) {
    TRY(base::set_xattr_at(to, name, key, value));
  }
  return set_times(to, name.c_str(), status);
}

// One level of the walk. The directories themselves are reached by name downwards and by ".." upwards.
struct Level {
  std::string name;
  struct ::stat status {};
  std::vector<std::string> directories;  // still to be copied, the next one last
};

class TreeCopy {
 public:
  TreeCopy(Fd from, Fd to, CopyData data, const MakeLeaf& make_leaf)
      : from_(std::move(from)), to_(std::move(to)), data_(data), make_leaf_(make_leaf) {}

  Status run() {
    levels_.push_back(Level{});
    TRY(copy_entries());
    while (true) {
      Level& level = levels_.back();
      if (!level.directories.empty()) {
        std::string name = std::move(level.directories.back());
        level.directories.pop_back();
        TRY(descend(std::move(name)));
      } else if (levels_.size() > 1) {
        TRY(ascend());
      } else {
        return copy_directory_metadata(from_.get(), to_.get(), OverlayMarks::keep);
      }
    }
  }

 private:
  Status descend(std::string name) {
    if (::mkdirat(to_.get(), name.c_str(), 0700) != 0) return base::fail_errno(errno, "make \"{}{}\"", prefix_, name);
    from_ = TRY(open_at(from_.get(), name.c_str(), O_RDONLY | O_DIRECTORY), "in \"{}\"", prefix_);
    to_ = TRY(open_at(to_.get(), name.c_str(), O_RDONLY | O_DIRECTORY), "in \"{}\"", prefix_);
    prefix_ += name + "/";
    levels_.push_back(Level{std::move(name), TRY(base::stat_fd(from_.get())), {}});
    return copy_entries();
  }

  Status ascend() {
    const Level done = std::move(levels_.back());
    levels_.pop_back();
    prefix_.resize(prefix_.size() - done.name.size() - 1);
    from_ = TRY(open_at(from_.get(), "..", O_RDONLY | O_DIRECTORY), "leave \"{}{}\"", prefix_, done.name);
    to_ = TRY(open_at(to_.get(), "..", O_RDONLY | O_DIRECTORY), "leave \"{}{}\"", prefix_, done.name);
    return copy_metadata(from_.get(), to_.get(), done.name, done.status);
  }

  Status copy_entries() {
    for (auto& entry : TRY(base::list_dir(from_.get()), "read \"{}\"", prefix_)) {
      if (entry.type == DT_DIR) {
        levels_.back().directories.push_back(std::move(entry.name));
      } else {
        TRY(copy_leaf(entry), "copy \"{}{}\"", prefix_, entry.name);
      }
    }
    std::reverse(levels_.back().directories.begin(), levels_.back().directories.end());
    return {};
  }

  Status copy_leaf(const base::DirEntry& entry) {
    const std::string& name = entry.name;
    struct ::stat status {};
    if (::fstatat(from_.get(), name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) {
      // In a directory that only one layer has, an overlay lists whiteouts, which are nothing.
      if (errno == ENOENT && entry.type == DT_CHR) return {};
      return base::fail_errno(errno, "stat");
    }
    if (status.st_nlink > 1) {
      const auto [first, inserted] = links_.try_emplace({status.st_dev, status.st_ino}, prefix_ + name);
      if (!inserted) return link(first->second, name);
    }
    if (make_leaf_ && TRY(make_leaf_({prefix_, name, status, to_.get()}))) return {};
    TRY(make_leaf(name, status));
    return copy_metadata(from_.get(), to_.get(), name, status);
  }

  Status link(const std::string& first, const std::string& name) {
    // The first copy is named from the root of the copy, which lies as many levels up as we are deep.
    std::string path;
    for (std::size_t up = 1; up < levels_.size(); ++up) path += "../";
    path += first;
    if (::linkat(to_.get(), path.c_str(), to_.get(), name.c_str(), 0) != 0) {
      return base::fail_errno(errno, "link to \"{}\"", first);
    }
    return {};
  }

  Status make_leaf(const std::string& name, const struct ::stat& status) {
    if (S_ISREG(status.st_mode)) {
      const Fd from = TRY(open_at(from_.get(), name.c_str(), O_RDONLY | O_NONBLOCK));
      const Fd to = TRY(open_at(to_.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL, 0600));
      TRY(copy_data(from.get(), to.get(), status.st_size, data_));
      return {};
    }
    if (S_ISLNK(status.st_mode)) {
      std::array<char, PATH_MAX> target{};
      const ssize_t size = ::readlinkat(from_.get(), name.c_str(), target.data(), target.size() - 1);
      if (size < 0) return base::fail_errno(errno, "read link");
      if (::symlinkat(target.data(), to_.get(), name.c_str()) != 0) return base::fail_errno(errno, "make link");
      return {};
    }
    if (::mknodat(to_.get(), name.c_str(), status.st_mode & (S_IFMT | 0600), status.st_rdev) != 0) {
      return base::fail_errno(errno, "make device, fifo or socket");
    }
    return {};
  }

  Fd from_, to_;               // the directories of the current level
  CopyData data_;
  std::string prefix_;         // "a/b/" for messages and links; "" at the root
  std::vector<Level> levels_;  // from the root down to the current level
  Links links_;
  const MakeLeaf& make_leaf_;
};

}  // namespace

Status copy_directory_metadata(int from, int to, OverlayMarks marks) {
  const auto status = TRY(base::stat_fd(from));
  const auto is = TRY(base::stat_fd(to));  // every fork comes by here, and what is right already costs nothing
  const bool owned = is.st_uid == status.st_uid && is.st_gid == status.st_gid;
  if (!owned && ::fchown(to, status.st_uid, status.st_gid) != 0) return base::fail_errno(errno, "set owner of the root");
  if ((!owned || is.st_mode != status.st_mode) && ::fchmod(to, status.st_mode & 07777) != 0) {
    return base::fail_errno(errno, "set mode of the root");
  }
  for (const auto& [key, value] : TRY(base::list_xattrs(from))) {
    if (marks == OverlayMarks::drop && is_overlay_mark(key)) continue;
    TRY(base::set_xattr_at(to, ".", key, value));
  }
  return set_times(to, ".", status);
}

Status copy_tree(int from, int to, CopyData data, const MakeLeaf& make_leaf) {
  Fd source = TRY(open_at(from, ".", O_RDONLY | O_DIRECTORY));
  Fd target = TRY(open_at(to, ".", O_RDONLY | O_DIRECTORY));
  return TreeCopy(std::move(source), std::move(target), data, make_leaf).run();
}

}  // namespace cairn::snapshot
