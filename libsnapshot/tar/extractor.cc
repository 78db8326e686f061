// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/extractor.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "libsnapshot/tar/metadata.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::fail;
using base::fail_errno;
using base::Fd;
using base::Status;
using base::TreePath;

constexpr std::string_view whiteout_prefix = ".wh.";
constexpr std::string_view whiteout_meta_prefix = ".wh..wh.";
constexpr std::string_view opaque_marker = ".wh..wh..opq";
constexpr int links_max = 40;
constexpr std::size_t parents_max = 32;  // descriptors

// The components of a path or link target, the first one last.
std::vector<std::string> reversed_components(std::string_view path) {
  std::vector<std::string> components;
  while (!path.empty()) {
    const auto slash = path.rfind('/');
    const auto name = slash == std::string_view::npos ? path : path.substr(slash + 1);
    if (!name.empty() && name != ".") components.emplace_back(name);
    path = slash == std::string_view::npos ? std::string_view() : path.substr(0, slash);
  }
  return components;
}

base::Result<std::string> read_link(int root, const TreePath& path) {
  const Fd link = TRY(base::open_beneath(root, path, O_PATH | O_NOFOLLOW));
  std::array<char, PATH_MAX> target{};
  const ssize_t size = ::readlinkat(link.get(), "", target.data(), target.size());
  if (size < 0) return fail_errno(errno, "read link \"{}\"", path.str());
  return std::string(target.data(), static_cast<std::size_t>(size));
}

Status write_data(const TarEntry& entry, TarReader& reader, const std::stop_token& stop, int file,
                  LayerObserver* observer) {
  std::uint64_t end = 0;
  while (true) {
    if (stop.stop_requested()) return fail(ErrorCode::cancelled, "stopped");
    const auto block = TRY(reader.read_block());
    if (!block) break;
    if (observer != nullptr) observer->bytes(block->offset, block->bytes);
    for (std::size_t done = 0; done < block->bytes.size();) {
      const ssize_t put = ::pwrite(file, block->bytes.data() + done, block->bytes.size() - done,
                                   static_cast<off_t>(block->offset + done));
      if (put < 0 && errno == EINTR) continue;
      if (put < 0) return fail_errno(errno, "write file");
      done += static_cast<std::size_t>(put);
    }
    end = block->offset + block->bytes.size();
  }
  if (entry.size > end && ::ftruncate(file, static_cast<off_t>(entry.size)) != 0) {
    return fail_errno(errno, "set size {}", entry.size);
  }
  return {};
}

// Whether all users of the machine exist for this process; elsewhere the kernel lets nobody make devices.
bool in_user_namespace() {
  const auto path = base::HostPath::parse("/proc/self/uid_map");
  const auto map = path ? base::read_file(*path, 4096) : tl::unexpected(path.error());
  return map && map->find("4294967295") == std::string::npos;
}

// An absolute name means nothing inside a tree, and a layer that has one was not made by a builder.
base::Result<TreePath> parse_name(std::string_view name) {
  if (name.starts_with('/')) return fail(ErrorCode::invalid_argument, "\"{}\" is an absolute path", name);
  return TreePath::parse(name);
}

}  // namespace

Extractor::Extractor(int root, Devices devices, LayerObserver* observer)
    : root_(root), devices_(devices), observer_(observer), process_{.uid = ::geteuid(), .gid = ::getegid()} {}

Status Extractor::apply(const TarEntry& entry, TarReader& reader, const std::stop_token& stop) {
  TRY(apply_checked(entry, reader, stop), "apply \"{}\"", entry.name);
  return {};
}

Status Extractor::apply_checked(const TarEntry& entry, TarReader& reader, const std::stop_token& stop) {
  const TreePath path = TRY(parse_name(entry.name));
  if (path.is_root()) return apply_root(entry);
  if (path.name().starts_with(whiteout_prefix)) return apply_whiteout(path);

  const Parent* parent = TRY(parent_of(path));
  const TreePath target = parent->path.child(path.name());
  const std::string name(path.name());
  Made made = TRY(make(entry, reader, stop, *parent, name));
  if (made == Made::exists) {
    TRY(make_way(target, entry));
    parent = TRY(parent_of(path));  // a removal closes it
    made = TRY(make(entry, reader, stop, *parent, name));
  }
  if (made == Made::exists) return fail(ErrorCode::busy, "somebody makes it again and again");
  if (made == Made::yes) record(target, entry);
  return {};
}

Status Extractor::apply_root(const TarEntry& entry) {
  if (entry.type != EntryType::directory) {
    return fail(ErrorCode::invalid_argument, "the root of a tree can only be a directory");
  }
  TRY(set_metadata(entry, root_, {}, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_directory(TreePath());
  record(TreePath(), entry);
  return {};
}

Status Extractor::apply_whiteout(const TreePath& path) {
  const auto directory = TRY(resolve(path.parent()));
  if (path.name() == opaque_marker) return clear_lower(directory);
  if (path.name().starts_with(whiteout_meta_prefix)) return {};
  const auto hidden = path.name().substr(whiteout_prefix.size());
  if (hidden.empty() || hidden == "." || hidden == "..") {
    return fail(ErrorCode::invalid_argument, "a whiteout of nothing");
  }
  return remove(directory.child(hidden));
}

// What the layer itself put there stays: the marker may come after the directory's new contents.
Status Extractor::clear_lower(const TreePath& directory) {
  std::vector<TreePath> pending = {directory};
  while (!pending.empty()) {
    const TreePath current = std::move(pending.back());
    pending.pop_back();
    const auto fd = base::open_beneath(root_, current, O_RDONLY | O_DIRECTORY);
    if (!fd && fd.error().code == ErrorCode::not_found) continue;
    if (!fd) return tl::unexpected(fd.error());
    for (const auto& child : TRY(base::list_dir(fd->get()))) {
      const TreePath path = current.child(child.name);
      if (!added_.contains(path.str())) {
        TRY(remove(path));
      } else if (child.type == DT_DIR) {
        pending.push_back(path);
      }
    }
  }
  return {};
}

base::Result<const Extractor::Parent*> Extractor::parent_of(const TreePath& path) {
  TreePath asked = path.parent();
  for (std::size_t left = parents_.size(); left > 0; --left) {
    if (parents_[left - 1].asked != asked) continue;
    parents_.resize(left);
    return &parents_.back();
  }
  // Nearly always the way is free of links and one call opens it.
  auto directory = base::open_beneath(root_, asked, O_RDONLY | O_DIRECTORY);
  TreePath resolved = asked;
  if (!directory) {
    resolved = TRY(resolve(asked));
    TRY(base::make_dirs_beneath(root_, resolved, 0755));
    directory = base::open_beneath(root_, resolved, O_RDONLY | O_DIRECTORY);
    if (!directory) return tl::unexpected(directory.error());
  }
  TRY(enter(std::move(asked), std::move(resolved), std::move(*directory)));
  return &parents_.back();
}

Status Extractor::enter(TreePath asked, TreePath path, Fd directory) {
  const Inheritance inheritance = TRY(inheritance_of(directory.get(), process_));
  if (parents_.size() == parents_max) parents_.erase(parents_.begin());
  parents_.push_back(Parent{std::move(asked), std::move(path), std::move(directory), inheritance});
  return {};
}

// The path with every symlink on it followed as if the root were /; what does not exist is taken as written.
base::Result<TreePath> Extractor::resolve(const TreePath& path) const {
  TreePath current;
  int links = 0;
  for (auto pending = reversed_components(path.str()); !pending.empty();) {
    const std::string name = std::move(pending.back());
    pending.pop_back();
    if (name == "..") {
      current = current.parent();
      continue;
    }
    const TreePath next = TRY(TreePath::parse(current.str() + "/" + name));
    const auto status = TRY(base::find_stat_beneath(root_, next));
    if (status && S_ISLNK(status->st_mode)) {
      if (++links > links_max) return fail(ErrorCode::invalid_argument, "too many symlinks on the way");
      const std::string target = TRY(read_link(root_, next));
      if (target.starts_with('/')) current = TreePath();
      for (auto& component : reversed_components(target)) pending.push_back(std::move(component));
      continue;
    }
    if (status && !S_ISDIR(status->st_mode)) {
      return fail(ErrorCode::invalid_argument, "\"{}\" on the way is not a directory", next.str());
    }
    current = next;
  }
  return current;
}

// Removes what is in the way of the entry. A directory on a directory never comes here.
Status Extractor::make_way(const TreePath& target, const TarEntry& entry) {
  if (entry.type == EntryType::hard_link && TRY(link_target(entry)) == target) {
    return fail(ErrorCode::invalid_argument, "a hard link to itself");
  }
  return remove(target);
}

Status Extractor::remove(const TreePath& target) {
  forget(target);
  parents_.clear();  // they may lie in what goes, or be reached through it
  const bool is_told = observer_ != nullptr && TRY(base::find_stat_beneath(root_, target)).has_value();
  TRY(base::remove_all_beneath(root_, target));
  if (is_told) observer_->removed(target);
  return {};
}

base::Result<Extractor::Made> Extractor::make(const TarEntry& entry, TarReader& reader, const std::stop_token& stop,
                                              const Parent& parent, const std::string& name) {
  switch (entry.type) {
    case EntryType::file: return make_file(entry, reader, stop, parent, name);
    case EntryType::directory: return make_directory(entry, parent, name);
    case EntryType::character_device: return make_node(entry, S_IFCHR, parent, name);
    case EntryType::block_device: return make_node(entry, S_IFBLK, parent, name);
    case EntryType::fifo: return make_node(entry, S_IFIFO, parent, name);
    case EntryType::hard_link: return make_link(entry, parent, name);
    case EntryType::symlink: break;
  }
  if (::symlinkat(entry.link.c_str(), parent.directory.get(), name.c_str()) != 0) {
    if (errno == EEXIST) return Made::exists;
    return fail_errno(errno, "make symlink");
  }
  TRY(set_metadata_at(entry, parent.directory.get(), name, parent.inheritance, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_other(parent.path.child(name), parent.directory.get(), name);
  return Made::yes;
}

base::Result<Extractor::Made> Extractor::make_file(const TarEntry& entry, TarReader& reader,
                                                   const std::stop_token& stop, const Parent& parent,
                                                   const std::string& name) {
  const Fd file(
      ::openat(parent.directory.get(), name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600));
  if (!file && errno == EEXIST) return Made::exists;
  if (!file) return fail_errno(errno, "make file");
  if (observer_ != nullptr) observer_->begin_file({entry.mode, entry.uid, entry.gid, entry.size, entry.xattrs});
  TRY(write_data(entry, reader, stop, file.get(), observer_));
  TRY(set_metadata(entry, file.get(), parent.inheritance, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_file(parent.path.child(name), file.get());
  return Made::yes;
}

// A directory that is there keeps what is in it, and the xattrs that the entry does not name: layers carry none but the
// capability, which says that there is none by its absence.
base::Result<Extractor::Made> Extractor::make_directory(const TarEntry& entry, const Parent& parent,
                                                        const std::string& name) {
  const bool is_new = ::mkdirat(parent.directory.get(), name.c_str(), 0700) == 0;
  if (!is_new && errno != EEXIST) return fail_errno(errno, "make directory");
  Fd directory(::openat(parent.directory.get(), name.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  if (!directory && (errno == ENOTDIR || errno == ELOOP) && !is_new) return Made::exists;
  if (!directory) return fail_errno(errno, "open directory");
  if (!is_new && ::fremovexattr(directory.get(), "security.capability") != 0 && errno != ENODATA &&
      errno != EOPNOTSUPP) {
    return fail_errno(errno, "remove xattr security.capability");
  }
  TRY(set_metadata(entry, directory.get(), is_new ? parent.inheritance : Inheritance{}, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_directory(parent.path.child(name));
  // What is in it comes next, as a rule.
  TRY(enter(parent.asked.child(name), parent.path.child(name), std::move(directory)));
  return Made::yes;
}

base::Result<Extractor::Made> Extractor::make_node(const TarEntry& entry, mode_t type, const Parent& parent,
                                                   const std::string& name) {
  const bool is_device = type != S_IFIFO;
  if (is_device && devices_ == Devices::refuse) return fail(ErrorCode::invalid_argument, "devices are not allowed here");
  if (type == S_IFCHR && entry.device == ::makedev(0, 0)) {
    return fail(ErrorCode::invalid_argument, "a character device 0:0 is a whiteout of overlay, not a file");
  }
  if (is_device && devices_ == Devices::skip) {
    ++skipped_.devices;
    return Made::skipped;
  }
  if (::mknodat(parent.directory.get(), name.c_str(), type | 0600, is_device ? entry.device : 0) != 0) {
    if (errno == EEXIST) return Made::exists;
    if (errno != EPERM || !is_device || !in_user_namespace()) return fail_errno(errno, "make device or fifo");
    ++skipped_.devices;
    return Made::skipped;
  }
  TRY(set_metadata_at(entry, parent.directory.get(), name, parent.inheritance, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_other(parent.path.child(name), parent.directory.get(), name);
  return Made::yes;
}

base::Result<TreePath> Extractor::link_target(const TarEntry& entry) const {
  const auto to = TRY(parse_name(entry.link), "hard link to \"{}\"", entry.link);
  if (to.is_root()) return fail(ErrorCode::invalid_argument, "a hard link to the root");
  return TRY(resolve(to.parent())).child(to.name());
}

base::Result<Extractor::Made> Extractor::make_link(const TarEntry& entry, const Parent& parent,
                                                   const std::string& name) {
  const TreePath from = TRY(link_target(entry));
  const auto status = TRY(base::find_stat_beneath(root_, from));
  if (!status) return fail(ErrorCode::invalid_argument, "hard link to \"{}\": there is no such file", entry.link);
  if (S_ISDIR(status->st_mode)) {
    return fail(ErrorCode::invalid_argument, "hard link to \"{}\": it is a directory", entry.link);
  }
  const Fd from_directory = TRY(base::open_beneath(root_, from.parent(), O_PATH | O_DIRECTORY));
  if (::linkat(from_directory.get(), std::string(from.name()).c_str(), parent.directory.get(), name.c_str(), 0) != 0) {
    if (errno == EEXIST) return Made::exists;
    return fail_errno(errno, "hard link to \"{}\"", entry.link);
  }
  TRY(set_metadata_at(entry, parent.directory.get(), name, {}, skipped_.xattrs));
  if (observer_ != nullptr) observer_->made_link(parent.path.child(name), from, parent.directory.get(), name);
  return Made::yes;
}

void Extractor::record(const TreePath& path, const TarEntry& entry) {
  const bool is_directory = entry.type == EntryType::directory;
  added_[path.str()] = is_directory ? std::optional(entry.mtime) : std::nullopt;
  for (TreePath above = path.parent(); !above.is_root(); above = above.parent()) {
    if (!added_.try_emplace(above.str()).second) break;
  }
  if (!is_directory) return;
  for (const auto& [key, value] : entry.xattrs) {
    if (key == default_acl_key) default_acls_[path.str()] = value;
  }
}

void Extractor::forget(const TreePath& path) {
  // '0' follows '/' in order, so this is all that lies beneath.
  const auto forget_in = [&](auto& rows) {
    rows.erase(path.str());
    rows.erase(rows.lower_bound(path.str() + "/"), rows.lower_bound(path.str() + "0"));
  };
  forget_in(added_);
  forget_in(default_acls_);
}

Status Extractor::finish() {
  parents_.clear();
  TreePath parent;
  Fd holder = TRY(base::open_beneath(root_, parent, O_PATH | O_DIRECTORY));
  for (const auto& [text, time] : added_) {
    if (!time) continue;
    const TreePath path = TRY(TreePath::parse(text));
    if (path.parent() != parent) {
      parent = path.parent();
      holder = TRY(base::open_beneath(root_, parent, O_PATH | O_DIRECTORY), "set time of \"{}\"", text);
    }
    const std::string name(path.is_root() ? "." : path.name());
    if (const auto acl = default_acls_.find(text); acl != default_acls_.end()) {
      const std::string& value = acl->second;
      const std::string at = fmt::format("/proc/self/fd/{}/{}", holder.get(), name);
      if (::lsetxattr(at.c_str(), default_acl_key.data(), value.data(), value.size(), 0) != 0) {
        if (errno != EOPNOTSUPP) return fail_errno(errno, "set xattr {} of \"{}\"", default_acl_key, text);
        ++skipped_.xattrs;
      }
    }
    const std::array<timespec, 2> times = {*time, *time};
    if (::utimensat(holder.get(), name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
      return fail_errno(errno, "set time of \"{}\"", text);
    }
  }
  return {};
}

}  // namespace cairn::snapshot
