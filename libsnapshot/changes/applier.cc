// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/changes/applier.h"

#include <fcntl.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsnapshot/changes/compare.h"
#include "libsnapshot/changes/metadata.h"
#include "libsnapshot/trees/copy_data.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

// Of the `count` directories that a change lies in, the lowest last.
base::Result<std::vector<Metadata>> directories_above(int directory, std::size_t count) {
  std::vector<Metadata> found(count);
  Fd at;
  for (std::size_t left = count; left > 0; --left) {
    const int here = at ? at.get() : directory;
    found[left - 1] = TRY(metadata_of(here, "."));
    Fd up(::openat(here, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!up) return base::fail_errno(errno, "open the directory above");
    at = std::move(up);
  }
  return found;
}

std::vector<std::string_view> components(std::string_view path) {
  std::vector<std::string_view> parts;
  while (!path.empty()) {
    const auto slash = std::min(path.find('/'), path.size());
    parts.push_back(path.substr(0, slash));
    path.remove_prefix(std::min(slash + 1, path.size()));
  }
  return parts;
}

bool is_opaque(int directory) {
  for (const char* mark : {"trusted.overlay.opaque", "user.overlay.opaque"}) {
    char value = 0;
    if (::fgetxattr(directory, mark, &value, 1) == 1 && value == 'y') return true;
  }
  return false;
}

base::Result<std::optional<mode_t>> type_at(int directory, const std::string& name) {
  struct ::stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0) return status.st_mode & S_IFMT;
  if (errno == ENOENT) return std::nullopt;
  return base::fail_errno(errno, "stat");
}

}  // namespace

ChangeApplier::ChangeApplier(int target, ApplierOptions options)
    : root_(target), options_(std::move(options)), cursor_(target) {}

Status ChangeApplier::apply(const Change& change) {
  if (times_.empty()) times_.push_back(TRY(base::stat_fd(root_), "apply changes").st_mtim);
  if (change.path.is_root()) return apply_root(change);
  if (change.kind == ChangeKind::unmodified) return keep(change);
  const std::string name(change.path.name());
  const auto applied = [&]() -> Status {
    TRY(go_to(change));
    switch (change.kind) {
      case ChangeKind::remove: return remove(name);
      case ChangeKind::opaque: return empty_directory(name);
      default: break;
    }
    return S_ISDIR(change.status.st_mode) ? apply_directory(change, name) : apply_file(change, name);
  };
  TRY(applied(), "apply the change of \"{}\"", change.path.str());
  return {};
}

Status ChangeApplier::finish() {
  while (!names_.empty()) TRY(leave(), "apply changes");
  if (!times_.empty()) TRY(set_mtime(root_, ".", times_.back()), "apply changes");
  return {};
}

// Makes the directory that holds the entry the current one.
Status ChangeApplier::go_to(const Change& change) {
  const std::string parent = change.path.parent().str();
  const auto wanted = components(parent);
  std::size_t common = 0;
  while (common < wanted.size() && common < names_.size() && wanted[common] == names_[common]) ++common;
  while (names_.size() > common) TRY(leave());
  if (options_.onto == ApplierOptions::Onto::exact) {
    for (; common < wanted.size(); ++common) TRY(enter(std::string(wanted[common])));
    return {};
  }
  const auto above = TRY(directories_above(change.directory, wanted.size() - common));
  for (const auto& metadata : above) {
    const std::string name(wanted[common++]);
    TRY(make_directory(name), "directory \"{}\"", name);
    TRY(set_metadata(cursor_.fd(), name, metadata), "directory \"{}\"", name);
    TRY(enter(name));
  }
  return {};
}

Status ChangeApplier::enter(const std::string& name) {
  TRY(cursor_.enter(name));
  hidden_.push_back(options_.below && ((!hidden_.empty() && hidden_.back()) || is_opaque(cursor_.fd())));
  names_.push_back(name);
  times_.push_back(TRY(base::stat_fd(cursor_.fd())).st_mtim);
  return {};
}

Status ChangeApplier::leave() {
  TRY(set_mtime(cursor_.fd(), ".", times_.back()));
  times_.pop_back();
  names_.pop_back();
  hidden_.pop_back();
  return cursor_.leave();
}

base::TreePath ChangeApplier::path_here(const std::string& name) const {
  base::TreePath path;
  for (const auto& part : names_) path = path.child(part);
  return path.child(name);
}

// The type of what the name would show of the tree below the upper, if the target is one. An opaque directory shows
// nothing, and lists whiteouts as if they were entries.
base::Result<std::optional<mode_t>> ChangeApplier::type_below(const std::string& name) const {
  if (!options_.below || (!hidden_.empty() && hidden_.back())) return std::nullopt;
  const auto found = base::find_stat_beneath(*options_.below, path_here(name));
  // A link above it: below, the directory that holds it here is none.
  if (!found && found.error().code == ErrorCode::invalid_argument) return std::nullopt;
  if (!TRY(found)) return std::nullopt;
  return (*found)->st_mode & S_IFMT;
}

Status ChangeApplier::erase(const std::string& name) {
  return base::remove_all_beneath(cursor_.fd(), base::TreePath().child(name));
}

Status ChangeApplier::remove(const std::string& name) {
  TRY(erase(name));
  if (!TRY(type_below(name))) return {};
  if (::mknodat(cursor_.fd(), name.c_str(), S_IFCHR, makedev(0, 0)) != 0) return base::fail_errno(errno, "make a whiteout");
  return {};
}

// Keeps a directory that is there and replaces anything else.
Status ChangeApplier::make_directory(const std::string& name) {
  const auto there = TRY(type_at(cursor_.fd(), name));
  if (there == S_IFDIR) return {};
  if (there) TRY(erase(name));
  if (::mkdirat(cursor_.fd(), name.c_str(), 0700) != 0) return base::fail_errno(errno, "mkdir");
  // What was there (a whiteout or a file) hid a directory below, and it stays hidden.
  if (!there || TRY(type_below(name)) != S_IFDIR) return {};
  const Fd made(::openat(cursor_.fd(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!made) return base::fail_errno(errno, "open a directory");
  if (::fsetxattr(made.get(), "trusted.overlay.opaque", "y", 1, 0) == 0) return {};
  // In a user namespace.
  if (errno == EPERM && ::fsetxattr(made.get(), "user.overlay.opaque", "y", 1, 0) == 0) return {};
  return base::fail_errno(errno, "make a directory opaque");
}

Status ChangeApplier::empty_directory(const std::string& name) {
  TRY(enter(name));
  for (const auto& entry : TRY(base::list_dir(cursor_.fd()))) TRY(erase(entry.name));
  return {};
}

Status ChangeApplier::apply_root(const Change& change) {
  if (options_.onto == ApplierOptions::Onto::merge) return {};
  const Metadata wanted = TRY(metadata_of(change.directory, "."), "apply the change of the root");
  TRY(set_metadata(root_, ".", wanted), "apply the change of the root");
  times_.front() = wanted.status.st_mtim;
  return {};
}

Status ChangeApplier::apply_directory(const Change& change, const std::string& name) {
  TRY(make_directory(name));
  return set_metadata(cursor_.fd(), name, TRY(metadata_of(change.directory, change.name.data())));
}

Status ChangeApplier::apply_file(const Change& change, const std::string& name) {
  if (TRY(type_at(cursor_.fd(), name))) TRY(erase(name));
  if (TRY(link_known(change, name))) return {};
  if (options_.make && TRY(options_.make(change, cursor_.fd(), name.c_str()))) {
    if (options_.counts != nullptr) ++options_.counts->linked;
  } else {
    TRY(make_file(change, name));
    const Metadata wanted{change.status, TRY(tree_xattrs(change.directory, change.name.data()))};
    TRY(set_metadata(cursor_.fd(), name, wanted));
  }
  if (change.status.st_nlink > 1) {
    known_[Inode(change.status.st_dev, change.status.st_ino)] = Group{.first = change.path, .untouched = {}, .touched = true};
  }
  return {};
}

// A name that stays. Nothing is touched unless its group was.
Status ChangeApplier::keep(const Change& change) {
  const auto [at, is_first] = known_.try_emplace(Inode(change.status.st_dev, change.status.st_ino));
  Group& group = at->second;
  if (is_first) {
    group.first = change.path;
    return {};
  }
  group.untouched.push_back(change.path);
  if (group.touched) TRY(gather(group), "keep the links of \"{}\"", group.first.str());
  return {};
}

// Links names that were there before to the first one, if they are not: where the tree is an overlay, the first new name
// of a file copies the file up and leaves its others behind.
Status ChangeApplier::gather(Group& group) {
  group.touched = true;
  if (group.untouched.empty()) return {};
  const auto first = TRY(base::find_stat_beneath(root_, group.first));
  for (const auto& path : std::exchange(group.untouched, {})) {
    const auto other = TRY(base::find_stat_beneath(root_, path));
    if (!first || !other) return base::fail(ErrorCode::not_found, "\"{}\" is not there", path.str());
    if (first->st_dev == other->st_dev && first->st_ino == other->st_ino) continue;
    const Fd holder = TRY(base::open_beneath(root_, path.parent(), O_RDONLY | O_DIRECTORY));
    const auto time = TRY(base::stat_fd(holder.get())).st_mtim;
    // Beside it first: if there is no room for another link, the name stays as it is.
    const std::string name(path.name());
    const std::string beside = ".cairn-link";
    if (!TRY(link_to(group.first, holder.get(), beside))) return {};
    if (::renameat(holder.get(), beside.c_str(), holder.get(), name.c_str()) != 0) return base::fail_errno(errno, "rename");
    TRY(set_mtime(holder.get(), ".", time));
  }
  return {};
}

// False if the inode has as many names as it can: its group goes on with a second inode.
base::Result<bool> ChangeApplier::link_to(const base::TreePath& first, int directory, const std::string& name) {
  const Fd holder = TRY(base::open_beneath(root_, first.parent(), O_PATH | O_DIRECTORY));
  const std::string from(first.name());
  if (::linkat(holder.get(), from.c_str(), directory, name.c_str(), 0) == 0) return true;
  if (errno == EMLINK) return false;
  return base::fail_errno(errno, "link to \"{}\"", first.str());
}

// True if another name of the inode is in the tree and this is a link to it now.
base::Result<bool> ChangeApplier::link_known(const Change& change, const std::string& name) {
  if (change.status.st_nlink < 2) return false;
  const auto known = known_.find(Inode(change.status.st_dev, change.status.st_ino));
  if (known == known_.end()) return false;
  if (!TRY(link_to(known->second.first, cursor_.fd(), name))) return false;
  TRY(gather(known->second));
  return true;
}

Status ChangeApplier::make_file(const Change& change, const std::string& name) {
  const mode_t type = change.status.st_mode & S_IFMT;
  if (type == S_IFREG) {
    Fd from;
    if (options_.open) from = TRY(options_.open(change));
    if (!from) from = Fd(::openat(change.directory, change.name.data(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
    if (!from) return base::fail_errno(errno, "open the new file");
    const Fd to(::openat(cursor_.fd(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
    if (!to) return base::fail_errno(errno, "create");
    const auto copied = TRY(copy_data(from.get(), to.get(), change.status.st_size, CopyData::clone));
    if (options_.counts != nullptr) options_.counts->bytes_copied += copied;
    return {};
  }
  if (type == S_IFLNK) {
    const auto target = TRY(read_link(change.directory, change.name.data()));
    if (::symlinkat(target.c_str(), cursor_.fd(), name.c_str()) != 0) return base::fail_errno(errno, "make a link");
    return {};
  }
  if (::mknodat(cursor_.fd(), name.c_str(), type | 0600, change.status.st_rdev) != 0) {
    return base::fail_errno(errno, "make a device, fifo or socket");
  }
  return {};
}

}  // namespace cairn::snapshot
