// SPDX-License-Identifier: Apache-2.0
// What a directory and an inode hold: entries and extended attributes.
#include <dirent.h>
#include <fcntl.h>
#include <sys/xattr.h>

#include <algorithm>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libbase/fs/deep_cursor.h"

namespace cairn::base {

Result<std::vector<DirEntry>> list_dir(int dir) {
  // A descriptor of its own: the caller's keeps its position, and may be an O_PATH one.
  const Fd own = TRY(open_beneath(dir, TreePath(), O_RDONLY | O_DIRECTORY), "list a directory");
  std::vector<DirEntry> entries = TRY(read_entries(own.get()));
  for (DirEntry& entry : entries) {
    if (entry.type != DT_UNKNOWN) continue;
    struct ::stat stat;
    if (::fstatat(dir, entry.name.c_str(), &stat, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT) == 0) {
      entry.type = static_cast<unsigned char>(IFTODT(stat.st_mode));
    } else if (errno != ENOENT) {
      return fail_errno(errno, "stat \"{}\"", entry.name);
    }
  }
  std::erase_if(entries, [](const DirEntry& entry) { return entry.type == DT_UNKNOWN; });  // gone meanwhile
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.name < b.name; });
  return entries;
}

namespace {

// XFS lists its own form of each POSIX ACL beside it.
constexpr std::string_view xfs_own_acl = "trusted.SGI_ACL_";

// One kind of access to the attributes of one inode: by descriptor, or by a path whose last component is not followed.
template <class List, class Get>
Result<std::map<std::string, std::string>> read_xattrs(List list, Get get) {
  std::map<std::string, std::string> values;
  std::string names(1024, '\0');
  ssize_t names_size = list(names.data(), names.size());
  while (names_size < 0 && errno == ERANGE && names.size() < (1u << 20)) {
    names.resize(names.size() * 8);
    names_size = list(names.data(), names.size());
  }
  if (names_size < 0 && errno == EOPNOTSUPP) return values;
  if (names_size < 0) return fail_errno(errno, "list extended attributes");
  names.resize(static_cast<std::size_t>(names_size));
  for (std::size_t at = 0; at < names.size();) {
    const std::string name(names.c_str() + at);
    at += name.size() + 1;
    if (name.starts_with(xfs_own_acl)) continue;
    std::string value(256, '\0');
    ssize_t size = get(name.c_str(), value.data(), value.size());
    while (size < 0 && errno == ERANGE && value.size() < (1u << 20)) {
      value.resize(value.size() * 8);
      size = get(name.c_str(), value.data(), value.size());
    }
    if (size < 0) continue;  // One that cannot be read is passed over (spec/storage 3.1).
    value.resize(static_cast<std::size_t>(size));
    values.emplace(name, std::move(value));
  }
  return values;
}

// A path to a name in an open directory, for calls that have no form with a directory descriptor.
std::string path_at(int dir, const std::string& name) {
  CHECK(!name.empty() && name.find('/') == std::string::npos, "not one path component: \"{}\"", name);
  return fmt::format("/proc/self/fd/{}/{}", dir, name);
}

}  // namespace

Result<std::map<std::string, std::string>> list_xattrs(int fd) {
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0) return fail_errno(errno, "list extended attributes");
  if ((flags & O_PATH) == 0) {
    return read_xattrs([&](char* out, std::size_t size) { return ::flistxattr(fd, out, size); },
                       [&](const char* key, char* out, std::size_t size) { return ::fgetxattr(fd, key, out, size); });
  }
  // The magic link leads to the very inode of the descriptor, even to a symlink, and no further.
  const std::string path = fmt::format("/proc/self/fd/{}", fd);
  return read_xattrs(
      [&](char* out, std::size_t size) { return ::listxattr(path.c_str(), out, size); },
      [&](const char* key, char* out, std::size_t size) { return ::getxattr(path.c_str(), key, out, size); });
}

Result<std::map<std::string, std::string>> list_xattrs_at(int dir, const std::string& name) {
  const std::string path = path_at(dir, name);
  return TRY(read_xattrs([&](char* out, std::size_t size) { return ::llistxattr(path.c_str(), out, size); },
                         [&](const char* key, char* out, std::size_t size) {
                           return ::lgetxattr(path.c_str(), key, out, size);
                         }),
             "\"{}\"", name);
}

Status set_xattr_at(int dir, const std::string& name, const std::string& key, std::string_view value) {
  if (::lsetxattr(path_at(dir, name).c_str(), key.c_str(), value.data(), value.size(), 0) != 0) {
    return fail_errno(errno, "set extended attribute {} of \"{}\"", key, name);
  }
  return {};
}

}  // namespace cairn::base
