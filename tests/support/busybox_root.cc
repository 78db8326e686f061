// SPDX-License-Identifier: Apache-2.0
// Building the busybox root.
#include "tests/support/busybox_root.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "libbase/fs/beneath.h"

namespace cairn::test {
namespace {

using base::ErrorCode;
using base::Fd;

constexpr const char* applets[] = {
    "[",       "awk",       "basename", "cat",  "chmod",  "chown",    "cp",    "cut",    "date",  "dd",    "df",
    "dirname", "du",        "echo",     "env",  "expr",   "false",    "find",  "grep",   "gzip",  "head",  "hostname",
    "id",      "ip",        "kill",     "ln",   "ls",     "md5sum",   "mkdir", "mkfifo", "mknod", "mount", "mv",
    "nc",      "od",        "printf",   "ps",   "pwd",    "readlink", "rm",    "rmdir",  "sed",   "seq",   "setsid",
    "sh",      "sha256sum", "sleep",    "sort", "stat",   "sync",     "tail",  "tar",    "test",  "touch", "tr",
    "true",    "umount",    "uname",    "uniq", "usleep", "wc",       "which", "whoami", "xargs", "yes",
};

constexpr std::size_t busybox_size_max = 64 << 20;

}  // namespace

base::Status put_file(const base::HostPath& dir, std::string_view path, std::string_view text, unsigned mode) {
  const Fd root = TRY(base::open_host_dir(dir));
  const base::TreePath name = TRY(base::TreePath::parse(path));
  TRY(base::make_dirs_beneath(root.get(), name.parent(), 0755));
  const Fd file = TRY(base::open_beneath(root.get(), name, O_WRONLY | O_CREAT | O_TRUNC, mode));
  TRY(base::write_full(file.get(), text));
  if (::fchmod(file.get(), mode) != 0) return base::fail_errno(errno, "set the mode of {}", path);
  return {};
}

base::Status make_busybox_root(const base::HostPath& dir) {
  const base::HostPath program = TRY(base::HostPath::parse("/bin/busybox"));
  const auto busybox = base::read_file(program, busybox_size_max);
  if (!busybox) {
    return base::fail(ErrorCode::unavailable, "build a root: {} (install busybox-static)", busybox.error().message);
  }
  if (::mkdir(dir.c_str(), 0755) != 0) return base::fail_errno(errno, "make {}", dir.str());
  TRY(put_file(dir, "bin/busybox", *busybox, 0755));
  for (const char* applet : applets) {
    const base::HostPath link = dir / (std::string("bin/") + applet);
    if (::symlink("busybox", link.c_str()) != 0) return base::fail_errno(errno, "link {}", applet);
  }
  TRY(put_file(dir, "etc/passwd",
               "root:x:0:0:root:/root:/bin/sh\n"
               "worker:x:1000:1000:Worker:/home/worker:/bin/sh\n"
               "lone:x:1001:100::/:/bin/sh\n"));
  TRY(put_file(dir, "etc/group",
               "root:x:0:\nstaff:x:50:worker\nusers:x:100:\nworker:x:1000:\nbuilders:x:2000:root,worker\n"));
  const base::HostPath tmp = dir / "tmp";
  if (::mkdir(tmp.c_str(), 0755) != 0 || ::chmod(tmp.c_str(), 01777) != 0) return base::fail_errno(errno, "make /tmp");
  return {};
}

base::Result<snapshot::MountedTree> mount_tree(const base::HostPath& dir) {
  Fd tree(::open_tree(AT_FDCWD, dir.c_str(), OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC));
  if (!tree) return base::fail_errno(errno, "mount {}", dir.str());
  return snapshot::MountedTree(std::move(tree));
}

}  // namespace cairn::test
