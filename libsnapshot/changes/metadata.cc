// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/changes/metadata.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsnapshot/changes/compare.h"

namespace cairn::snapshot {
namespace {

using base::Status;

// What is there and not wanted goes too: a directory's default ACL is inherited by what is made in it.
Status set_xattrs(int directory, const std::string& name, const std::map<std::string, std::string>& wanted) {
  const auto present = TRY(tree_xattrs(directory, name.c_str()));
  const std::string path = fmt::format("/proc/self/fd/{}/{}", directory, name);
  for (const auto& [key, value] : present) {
    if (wanted.contains(key)) continue;
    if (::lremovexattr(path.c_str(), key.c_str()) != 0) return base::fail_errno(errno, "remove {}", key);
  }
  for (const auto& [key, value] : wanted) {
    const auto found = present.find(key);
    if (found != present.end() && found->second == value) continue;
    TRY(base::set_xattr_at(directory, name, key, value));
  }
  return {};
}

}  // namespace

base::Result<Metadata> metadata_of(int directory, const char* name) {
  Metadata metadata;
  if (::fstatat(directory, name, &metadata.status, AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "stat");
  metadata.xattrs = TRY(tree_xattrs(directory, name));
  return metadata;
}

Status set_mtime(int directory, const char* name, const timespec& time) {
  const std::array<timespec, 2> times = {timespec{0, UTIME_OMIT}, time};
  if (::utimensat(directory, name, times.data(), AT_SYMLINK_NOFOLLOW) != 0) return base::fail_errno(errno, "set times");
  return {};
}

// Owner first (a change of owner clears the set-uid bits and the capabilities), then mode, xattrs, and times last.
Status set_metadata(int directory, const std::string& name, const Metadata& wanted) {
  const auto& status = wanted.status;
  if (::fchownat(directory, name.c_str(), status.st_uid, status.st_gid, AT_SYMLINK_NOFOLLOW) != 0) {
    return base::fail_errno(errno, "set owner");
  }
  if (!S_ISLNK(status.st_mode) && ::fchmodat(directory, name.c_str(), status.st_mode & 07777, 0) != 0) {
    return base::fail_errno(errno, "set mode");
  }
  TRY(set_xattrs(directory, name, wanted.xattrs));
  return set_mtime(directory, name.c_str(), status.st_mtim);
}

}  // namespace cairn::snapshot
