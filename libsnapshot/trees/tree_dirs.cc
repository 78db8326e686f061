// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/trees/tree_dirs.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <functional>
#include <utility>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/trees/subvolume.h"
#include "libsnapshot/trees/walk.h"

namespace cairn::snapshot {
namespace {

using base::Fd;
using base::Status;

base::TreePath path_of(SnapshotId id) { return base::TreePath().child(fmt::format("{}", id)); }
base::TreePath path_of(SnapshotId id, std::string_view part) { return path_of(id).child(part); }

// Of what was taken out of trees, in tmp/.
constexpr std::string_view taken_prefix = "of-tree-";

// Files and directories, the top one last.
Status sync_beneath(int top) {
  Walk walk;
  walk.entry = [](int directory, const base::DirEntry& entry) -> Status {
    if (entry.type != DT_REG) return {};
    const Fd file(::openat(directory, entry.name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!file) return base::fail_errno(errno, "open \"{}\" to sync it", entry.name);
    TRY(base::sync_file(file.get()), "sync \"{}\"", entry.name);
    return {};
  };
  walk.leave = [](int directory) { return base::sync_file(directory); };
  return walk_tree(top, walk);
}

bool is_opaque(int directory) {
  // A value of one byte: "y", or "x" for a directory that may hold whiteouts in the form of xattrs.
  std::array<char, 2> value{};
  for (const char* name : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    if (::fgetxattr(directory, name, value.data(), value.size()) == 1 && value[0] == 'y') return true;
  }
  return false;
}

base::Result<TreeMeasure> measure_directory(int directory) {
  TreeMeasure measure;
  std::map<std::uint64_t, std::uint64_t> names;  // of inodes with several
  const auto size = TRY(base::measure_tree(directory, [&](const base::TreeEntry& entry) -> Status {
    const auto& stat = entry.stat;
    if (!S_ISDIR(stat.st_mode) && stat.st_nlink > 1) {
      // Gone from the map again with its last name.
      if (++names[stat.st_ino] == stat.st_nlink) {
        measure.linked_elsewhere.erase(stat.st_ino);
      } else {
        measure.linked_elsewhere[stat.st_ino] = {.bytes = std::int64_t{stat.st_blocks} * 512,
                                                 .inodes = 1,
                                                 .logical_bytes = S_ISREG(stat.st_mode) ? std::int64_t{stat.st_size} : 0};
      }
    }
    if (S_ISDIR(entry.stat.st_mode)) {
      measure.marks.opaque = measure.marks.opaque || is_opaque(entry.directory);
    } else if (S_ISCHR(entry.stat.st_mode) && entry.stat.st_rdev == ::makedev(0, 0)) {
      measure.marks.whiteouts = true;
    }
    return {};
  }));
  measure.usage = Usage{.bytes = size.bytes, .inodes = size.inodes, .logical_bytes = size.logical_bytes};
  return measure;
}

}  // namespace

base::Result<TreeDirs> TreeDirs::open(const base::HostPath& root) {
  Fd root_fd = TRY(base::open_host_dir(root), "open the store {}", root.str());
  for (const char* name : {"trees", "tmp"}) {
    if (::mkdirat(root_fd.get(), name, 0700) == 0 || errno == EEXIST) continue;
    return base::fail_errno(errno, "make {}/{}", root.str(), name);
  }
  Fd trees = TRY(base::open_host_dir(root / "trees"), "open {}/trees", root.str());
  Fd tmp = TRY(base::open_host_dir(root / "tmp"), "open {}/tmp", root.str());
  for (const auto& entry : TRY(base::list_dir(tmp.get()))) {
    if (!entry.name.starts_with(taken_prefix)) continue;
    TRY(base::remove_all_beneath(tmp.get(), base::TreePath().child(entry.name)), "erase what a dead owner left");
  }
  return TreeDirs(std::move(root_fd), std::move(trees), std::move(tmp));
}

base::Result<bool> TreeDirs::exists(SnapshotId id) const {
  std::array<char, 24> name{};
  std::snprintf(name.data(), name.size(), "%llu", static_cast<unsigned long long>(id.value()));
  if (::faccessat(trees_.get(), name.data(), F_OK, AT_SYMLINK_NOFOLLOW) == 0) return true;
  if (errno == ENOENT) return false;
  return base::fail_errno(errno, "look for tree {}", id);
}

Status TreeDirs::create(SnapshotId id) const {
  if (::mkdirat(trees_.get(), path_of(id).str().c_str(), 0700) != 0) return base::fail_errno(errno, "make tree {}", id);
  return {};
}

base::Result<Fd> TreeDirs::open_tree(SnapshotId id, int flags) const {
  Fd fd(::openat(trees_.get(), path_of(id).str().c_str(), flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return base::fail_errno(errno, "open tree {}", id);
  return fd;
}

Status TreeDirs::create_part(SnapshotId id, std::string_view name, unsigned mode) const {
  const auto path = path_of(id, name).str();
  if (::mkdirat(trees_.get(), path.c_str(), mode) != 0) return base::fail_errno(errno, "make trees/{}", path);
  // The umask of the process is not ours to know. Looking is cheaper than setting, which writes.
  struct ::stat made {};
  if (::fstatat(trees_.get(), path.c_str(), &made, AT_SYMLINK_NOFOLLOW) == 0 && (made.st_mode & 07777) == mode) return {};
  if (::fchmodat(trees_.get(), path.c_str(), mode, 0) != 0) return base::fail_errno(errno, "set mode of trees/{}", path);
  return {};
}

base::Result<Fd> TreeDirs::open_part(SnapshotId id, std::string_view name, int flags) const {
  const auto path = path_of(id, name).str();
  Fd fd(::openat(trees_.get(), path.c_str(), flags | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return base::fail_errno(errno, "open trees/{}", path);
  return fd;
}

Status TreeDirs::erase_part(SnapshotId id, std::string_view name) const {
  TRY(base::remove_all_beneath(trees_.get(), path_of(id, name), destroy_subvolume), "erase trees/{}/{}", id, name);
  return {};
}

Status TreeDirs::take_out(SnapshotId id, std::string_view part) const {
  const auto path = path_of(id, part).str();
  const auto name = fmt::format("{}{}-{}", taken_prefix, id, taken_->lock()->count++);
  if (::renameat(trees_.get(), path.c_str(), tmp_.get(), name.c_str()) != 0) {
    return errno == ENOENT ? Status() : erase_part(id, part);
  }
  taken_->lock()->names.push_back(name);
  return {};
}

std::size_t TreeDirs::taken() const { return taken_->lock()->names.size(); }

Status TreeDirs::erase_taken(const std::stop_token& stop) const {
  Status outcome;
  while (!stop.stop_requested()) {
    std::string name;
    {
      auto taken = taken_->lock();
      if (taken->names.empty()) break;
      name = std::move(taken->names.front());
      taken->names.pop_front();
    }
    auto erased = base::remove_all_beneath(tmp_.get(), base::TreePath().child(name));
    if (!erased) outcome = tl::unexpected(base::add_context(erased.error(), fmt::format("erase tmp/{}", name)));
  }
  return outcome;
}

Status TreeDirs::rename_part(SnapshotId id, std::string_view from, std::string_view to) const {
  const auto old_path = path_of(id, from).str();
  const auto new_path = path_of(id, to).str();
  if (::renameat(trees_.get(), old_path.c_str(), trees_.get(), new_path.c_str()) != 0) {
    return base::fail_errno(errno, "rename trees/{} to {}", old_path, to);
  }
  return {};
}

Status TreeDirs::erase(SnapshotId id) const {
  TRY(base::remove_all_beneath(trees_.get(), path_of(id), destroy_subvolume), "erase tree {}", id);
  return {};
}

Status TreeDirs::erase(SnapshotId id, const std::stop_token& stop) const {
  // Piece by piece, so that a large tree can be left in the middle.
  constexpr int levels = 3;
  // A subvolume has a device of its own, and goes as a whole with the directory that holds it.
  const dev_t device = TRY(base::stat_fd(trees_.get())).st_dev;
  const std::function<Status(const base::TreePath&, int)> erase_below = [&](const base::TreePath& path,
                                                                            int level) -> Status {
    if (level > 0) {
      const auto directory = base::open_beneath(trees_.get(), path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
      if (directory && TRY(base::stat_fd(directory->get())).st_dev != device) return {};
      if (directory) {
        for (const auto& entry : TRY(base::list_dir(directory->get()))) {
          if (entry.type == DT_DIR) TRY(erase_below(path.child(entry.name), level - 1));
        }
      }
    }
    if (stop.stop_requested()) return base::fail(base::ErrorCode::cancelled, "erase tree {}", id);
    return base::remove_all_beneath(trees_.get(), path, destroy_subvolume);
  };
  TRY(erase_below(path_of(id), levels), "erase tree {}", id);
  return {};
}

base::Result<TreeMeasure> TreeDirs::measure(SnapshotId id) const {
  const Fd tree = TRY(base::open_beneath(trees_.get(), path_of(id), O_RDONLY | O_DIRECTORY), "measure tree {}", id);
  return TRY(measure_directory(tree.get()), "measure tree {}", id);
}

base::Result<TreeMeasure> TreeDirs::measure_part(SnapshotId id, std::string_view name) const {
  const Fd part = TRY(open_part(id, name, O_RDONLY));
  return TRY(measure_directory(part.get()), "measure trees/{}/{}", id, name);
}

Status TreeDirs::sync_tree(SnapshotId id) const {
  const Fd tree = TRY(base::open_beneath(trees_.get(), path_of(id), O_RDONLY | O_DIRECTORY), "sync tree {}", id);
  // Owners and times of symlinks and devices cannot be synced by themselves. A change to the directory that is newer
  // than all of them makes its sync, the last one, commit them with the file system's log.
  if (::futimens(tree.get(), nullptr) != 0) return base::fail_errno(errno, "touch tree {}", id);
  TRY(sync_beneath(tree.get()), "sync tree {}", id);
  return {};
}

Status TreeDirs::sync_names() const {
  TRY(base::sync_file(trees_.get()), "sync trees/");
  TRY(base::sync_file(root_.get()), "sync the store's root");
  return {};
}

Status TreeDirs::sync_all() const {
  TRY(base::sync_filesystem(root_.get()), "sync the file system of the store");
  return {};
}

}  // namespace cairn::snapshot
