// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/tar/metadata.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cairn::snapshot {
namespace {

using base::Status;

// There is no setxattrat yet on the kernels we run on; the magic link leads to the directory that is open already.
Status apply_xattrs(const TarEntry& entry, int directory, const std::string& name) {
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
  for (const auto& [key, value] : entry.xattrs) {
    // A layer has no say in how its files are stacked.
    if (key.starts_with("trusted.overlay.") || key.starts_with("user.overlay.")) continue;
    if (::lsetxattr(path.c_str(), key.c_str(), value.data(), value.size(), 0) == 0) continue;
    const bool no_user_xattrs_here = errno == EPERM && key.starts_with("user.");  // links and devices have none
    if (errno == ENOTSUP || no_user_xattrs_here) continue;
    return base::fail_errno(errno, "set xattr {}", key);
  }
  return {};
}

}  // namespace

Status apply_metadata(const TarEntry& entry, int directory, const std::string& name) {
  // The order matters: a change of owner clears set-uid bits and capabilities, and xattrs touch no time but ctime.
  if (::fchownat(directory, name.c_str(), entry.uid, entry.gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set owner {}:{}", entry.uid, entry.gid);
  }
  struct ::stat status {};
  if (::fstatat(directory, name.c_str(), &status, AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "stat");
  // A hard link may lead to a symlink.
  if (!S_ISLNK(status.st_mode) && ::fchmodat(directory, name.c_str(), entry.mode, 0) != 0) {
    return base::fail_errno(errno, "set mode {:o}", entry.mode);
  }
  TRY(apply_xattrs(entry, directory, name));
  if (entry.type == EntryType::directory) return {};
  const std::array<timespec, 2> times = {entry.mtime, entry.mtime};
  if (::utimensat(directory, name.c_str(), times.data(), AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set time");
  }
  return {};
}

}  // namespace cairn::snapshot
