// SPDX-License-Identifier: Apache-2.0
// The system call under everything in beneath.h, for the files of this room only.
#pragma once

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace cairn::base {

inline constexpr std::uint64_t resolve_no_links = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS | RESOLVE_NO_SYMLINKS;
inline constexpr std::uint64_t resolve_in_root = RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS;

// The descriptor (close-on-exec), or -1 with errno. The kernel answers EAGAIN when a rename ran beside the lookup; that
// is repeated here a bounded number of times.
inline int open_at(int dir, const char* path, int flags, unsigned mode, std::uint64_t resolve) {
  struct ::open_how how = {};
  how.flags = static_cast<std::uint64_t>(static_cast<unsigned>(flags)) | O_CLOEXEC;
  // openat2 refuses a mode that would not be used.
  const bool creates = (flags & O_CREAT) != 0 || (flags & O_TMPFILE) == O_TMPFILE;
  how.mode = creates ? mode : 0;
  how.resolve = resolve;
  int renames_seen = 0;
  while (true) {
    const long fd = ::syscall(SYS_openat2, dir, path, &how, sizeof how);
    if (fd >= 0) return static_cast<int>(fd);
    if (errno == EINTR) continue;
    if (errno == EAGAIN && ++renames_seen < 1000) continue;
    return -1;
  }
}

}  // namespace cairn::base
