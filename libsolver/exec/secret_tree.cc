// SPDX-License-Identifier: Apache-2.0
#include "libsolver/exec/secret_tree.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libsolver/exec/memory_tree.h"

namespace cairn::solver {

using base::Fd;

base::Result<snapshot::MountedTree> make_secret_tree(std::string_view secret, const SecretFile& file) {
  const unsigned attributes = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID | ((file.mode & 0111) == 0 ? MOUNT_ATTR_NOEXEC : 0u);
  snapshot::MountedTree tree = TRY(make_memory_tree("keep a secret", attributes));
  const Fd made(::openat(tree.fd(), secret_file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (!made) return base::fail_errno(errno, "keep a secret: make its file");
  TRY(base::write_full(made.get(), secret), "keep a secret");
  if (::fchown(made.get(), file.owner, file.group) != 0 || ::fchmod(made.get(), file.mode & 0777) != 0) {
    return base::fail_errno(errno, "keep a secret: set its owner and mode");
  }
  return tree;
}

}  // namespace cairn::solver
