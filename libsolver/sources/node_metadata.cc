// SPDX-License-Identifier: Apache-2.0
#include "libsolver/sources/node_metadata.h"

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cairn::solver {

using base::fail_errno;
using base::Result;

namespace {

// The f-calls refuse O_PATH descriptors with EBADF. The magic link reaches the file itself then, whatever it is.
std::string magic_link(int fd) { return fmt::format("/proc/self/fd/{}", fd); }

int change_mode(int fd, mode_t mode) {
  const int outcome = ::fchmod(fd, mode);
  return outcome != 0 && errno == EBADF ? ::chmod(magic_link(fd).c_str(), mode) : outcome;
}

int change_xattr(int fd, const std::string& name, const std::string& value) {
  const int outcome = ::fsetxattr(fd, name.c_str(), value.data(), value.size(), 0);
  if (outcome == 0 || errno != EBADF) return outcome;
  return ::setxattr(magic_link(fd).c_str(), name.c_str(), value.data(), value.size(), 0);
}

}  // namespace

Result<std::vector<std::string>> set_metadata(int fd, const NodeMetadata& metadata) {
  // The owner first: changing it drops set-id bits and capabilities.
  if (::fchownat(fd, "", metadata.owner, metadata.group, AT_EMPTY_PATH) != 0 && !(errno == EPERM && ::geteuid() != 0)) {
    return fail_errno(errno, "set the owner {}:{}", metadata.owner, metadata.group);
  }
  if (!S_ISLNK(metadata.mode) && change_mode(fd, metadata.mode & 07777) != 0) return fail_errno(errno, "set the mode");
  std::vector<std::string> refused;
  for (const auto& [name, value] : metadata.xattrs) {
    if (change_xattr(fd, name, value) == 0) continue;
    if (errno != EOPNOTSUPP && errno != EPERM && errno != EACCES && errno != EINVAL)
      return fail_errno(errno, "set xattr {}", name);
    refused.push_back(name);
  }
  const std::array<timespec, 2> times{metadata.modified, metadata.modified};
  if (::utimensat(fd, "", times.data(), AT_EMPTY_PATH) != 0) return fail_errno(errno, "set the times");
  return refused;
}

Result<base::Fd> open_node(int directory, const std::string& name) {
  base::Fd fd(::openat(directory, name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!fd) return fail_errno(errno, "open {}", name);
  return fd;
}

}  // namespace cairn::solver
