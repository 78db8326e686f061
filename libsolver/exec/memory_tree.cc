// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/memory_tree.h"

#include <sys/mount.h>

#include <cerrno>

namespace cairn::solver {

using base::Fd;

base::Result<snapshot::MountedTree> make_memory_tree(std::string_view doing, unsigned attributes) {
  const Fd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return base::fail_errno(errno, "{}: open tmpfs", doing);
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return base::fail_errno(errno, "{}: make a tmpfs", doing);
  }
  Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount) return base::fail_errno(errno, "{}: mount a tmpfs", doing);
  return snapshot::MountedTree(std::move(mount));
}

}  // namespace cairn::solver
