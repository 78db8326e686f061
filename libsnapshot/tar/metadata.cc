// SPDX-License-Identifier: Apache-2.0
// The order is one for all: owner (a change of it clears set-uid bits and capabilities), mode, xattrs, and times last.
#include "libsnapshot/tar/metadata.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/fd.h"
#include "libsnapshot/changes.h"

namespace cairn::snapshot {
namespace {

using base::Status;

// set(key, value) is fsetxattr or lsetxattr, remove(key) likewise, on an inode of this type.
template <class Set, class Remove>
Status set_xattrs(const TarEntry& entry, const Inheritance& inheritance, std::uint64_t& skipped, Set set,
                  Remove remove) {
  if (inheritance.acl) {
    for (const auto key : {access_acl_key, default_acl_key}) {
      if (remove(key.data()) != 0 && errno != ENODATA && errno != EOPNOTSUPP && errno != EACCES) {
        return base::fail_errno(errno, "remove xattr {}", key);
      }
    }
  }
  for (const auto& [key, value] : entry.xattrs) {
    if (is_overlay_mark(key)) continue;  // a layer has no say in how its files are stacked
    if (entry.type == EntryType::directory && key == default_acl_key) continue;
    if (set(key.c_str(), value) == 0) continue;
    const bool no_user_xattrs_here = errno == EPERM && key.starts_with("user.");  // links and devices have none
    if (errno != EOPNOTSUPP && !no_user_xattrs_here) return base::fail_errno(errno, "set xattr {}", key);
    ++skipped;
  }
  return {};
}

bool owner_is_right(const TarEntry& entry, const Inheritance& inheritance) {
  return inheritance.owner && entry.uid == inheritance.owner->uid && entry.gid == inheritance.owner->gid;
}

}  // namespace

base::Result<Inheritance> inheritance_of(int directory, const Owner& process) {
  const auto status = TRY(base::stat_fd(directory));
  Inheritance inheritance;
  // Whether the group comes from the process or, with the bit or a mount option, from the directory: it is the same.
  if (status.st_gid == process.gid) inheritance.owner = process;
  inheritance.acl = ::fgetxattr(directory, default_acl_key.data(), nullptr, 0) > 0;
  return inheritance;
}

Status set_metadata(const TarEntry& entry, int fd, const Inheritance& inheritance, std::uint64_t& skipped) {
  if (!owner_is_right(entry, inheritance) && ::fchown(fd, entry.uid, entry.gid) != 0) {
    return base::fail_errno(errno, "set owner {}:{}", entry.uid, entry.gid);
  }
  if (::fchmod(fd, entry.mode) != 0) return base::fail_errno(errno, "set mode {:o}", entry.mode);
  if (!entry.xattrs.empty() || inheritance.acl) {
    TRY(set_xattrs(
        entry, inheritance, skipped,
        [&](const char* key, const std::string& value) { return ::fsetxattr(fd, key, value.data(), value.size(), 0); },
        [&](const char* key) { return ::fremovexattr(fd, key); }));
  }
  if (entry.type == EntryType::directory) return {};
  const std::array<timespec, 2> times = {entry.mtime, entry.mtime};
  if (::futimens(fd, times.data()) != 0) return base::fail_errno(errno, "set time");
  return {};
}

Status set_metadata_at(const TarEntry& entry, int directory, const std::string& name, const Inheritance& inheritance,
                       std::uint64_t& skipped) {
  if (!owner_is_right(entry, inheritance) &&
      ::fchownat(directory, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set owner {}:{}", entry.uid, entry.gid);
  }
  // EOPNOTSUPP: a symlink, which has no mode. A hard link may lead to one.
  if (entry.type != EntryType::symlink && ::fchmodat(directory, name.c_str(), entry.mode, AT_SYMLINK_NOFOLLOW) != 0 &&
      errno != EOPNOTSUPP) {
    return base::fail_errno(errno, "set mode {:o}", entry.mode);
  }
  if (!entry.xattrs.empty() || (inheritance.acl && entry.type != EntryType::symlink)) {
    // There is no setxattrat on the kernels we run on; the magic link leads to the directory that is open already.
    const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
    TRY(set_xattrs(
        entry, inheritance, skipped,
        [&](const char* key, const std::string& value) {
          return ::lsetxattr(path.c_str(), key, value.data(), value.size(), 0);
        },
        [&](const char* key) { return ::lremovexattr(path.c_str(), key); }));
  }
  const std::array<timespec, 2> times = {entry.mtime, entry.mtime};
  if (::utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set time");
  }
  return {};
}

}  // namespace cairn::snapshot
