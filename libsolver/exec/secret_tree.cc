// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/secret_tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

namespace cairn::solver {

using base::Fd;

base::Result<snapshot::MountedTree> make_secret_tree(std::string_view secret, const SecretFile& file) {
  const Fd context(::fsopen("tmpfs", FSOPEN_CLOEXEC));
  if (!context) return base::fail_errno(errno, "keep a secret: open tmpfs");
  if (::fsconfig(context.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return base::fail_errno(errno, "keep a secret: make a tmpfs");
  }
  const unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | ((file.mode & 0111) == 0 ? MOUNT_ATTR_NOEXEC : 0u);
  Fd mount(::fsmount(context.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount) return base::fail_errno(errno, "keep a secret: mount a tmpfs");
  const Fd made(::openat(mount.get(), secret_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!made) return base::fail_errno(errno, "keep a secret: make its file");
  TRY(base::write_full(made.get(), secret), "keep a secret");
  if (::fchown(made.get(), file.owner, file.group) != 0 || ::fchmod(made.get(), file.mode & 0777) != 0) {
    return base::fail_errno(errno, "keep a secret: set its owner and mode");
  }
  return snapshot::MountedTree(std::move(mount));
}

}  // namespace cairn::solver
