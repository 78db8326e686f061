// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/drivers/probe.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <vector>

#include "libbase/fs/beneath.h"
#include "libsnapshot/mounts/detached.h"
#include "libsnapshot/mounts/user_namespace.h"
#include "libsnapshot/trees/extents.h"
#include "libsnapshot/trees/subvolume.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

Status check(int outcome, const char* what) {
  if (outcome >= 0) return {};
  // What we are not allowed, or what is not built in, is not here.
  if (errno == EPERM || errno == EACCES || errno == ENOTTY || errno == ENODEV) {
    return base::fail(ErrorCode::unavailable, "{}: {}", what, base::errno_text(errno));
  }
  return base::fail_errno(errno, "{}", what);
}

base::Result<Fd> make_dir(int parent, const char* name) {
  TRY(check(::mkdirat(parent, name, 0755), "make a directory"));
  Fd fd(::openat(parent, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TRY(check(fd.get(), "open a directory"));
  return fd;
}

Status make_file(int directory, const char* name) {
  const Fd file(::openat(directory, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  TRY(check(file.get(), "make a file"));
  return base::write_full(file.get(), "x");
}

Status use(int merged) {
  TRY(check(::unlinkat(merged, "removed", 0), "remove a file of a lower layer"));
  TRY(check(::renameat(merged, "renamed", merged, "new"), "rename a file of a lower layer"));
  TRY(check(::unlinkat(merged, "opaque/file", 0), "empty a directory of a lower layer"));
  TRY(check(::unlinkat(merged, "opaque", AT_REMOVEDIR), "remove a directory of a lower layer"));
  TRY(check(::mkdirat(merged, "opaque", 0755), "make a directory again"));
  return {};
}

Status expect_whiteout(int upper, const char* name) {
  struct ::stat status {};
  TRY(check(::fstatat(upper, name, &status, AT_SYMLINK_NOFOLLOW), "look for a whiteout"));
  if (!S_ISCHR(status.st_mode) || status.st_rdev != ::makedev(0, 0)) {
    return base::fail(ErrorCode::unavailable, "a removed file left no whiteout");
  }
  return {};
}

Status expect_traces(int upper, OverlayMarksIn marks) {
  TRY(expect_whiteout(upper, "removed"));
  TRY(expect_whiteout(upper, "renamed"));
  const Fd opaque(::openat(upper, "opaque", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TRY(check(opaque.get(), "look for an opaque directory"));
  std::array<char, 8> value{};
  const char* mark = marks == OverlayMarksIn::user ? "user.overlay.opaque" : "trusted.overlay.opaque";
  if (::fgetxattr(opaque.get(), mark, value.data(), value.size()) != 1 || value[0] != 'y') {
    return base::fail(ErrorCode::unavailable, "a directory made again is not opaque");
  }
  return {};
}

Status try_overlay(int scratch) {
  const Fd lower = TRY(make_dir(scratch, "lower"));
  const Fd lowest = TRY(make_dir(scratch, "lowest"));
  const Fd upper = TRY(make_dir(scratch, "upper"));
  const Fd work = TRY(make_dir(scratch, "work"));
  TRY(make_file(lower.get(), "removed"));
  TRY(make_file(lowest.get(), "renamed"));
  const Fd opaque = TRY(make_dir(lower.get(), "opaque"));
  TRY(make_file(opaque.get(), "file"));

  const auto marks = in_user_namespace() ? OverlayMarksIn::user : OverlayMarksIn::trusted;
  auto overlay = TRY(OverlayBuilder::start(marks));
  TRY(overlay.set_upper(upper.get(), work.get()));
  TRY(overlay.add_lower(lower.get()));
  TRY(overlay.add_lower(lowest.get()));
  const auto merged = TRY(overlay.finish());
  TRY(use(merged.directory.get()));
  return expect_traces(upper.get(), marks);
}

Status try_btrfs(int scratch) {
  TRY(create_subvolume(scratch, "first"));
  Usage usage;
  {
    const Fd first(::openat(scratch, "first", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    TRY(check(first.get(), "open a subvolume"));
    TRY(make_file(first.get(), "file"));
    TRY(fork_subvolume(first.get(), scratch, "fork", Access::read_only));
    const Fd fork(::openat(scratch, "fork", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    TRY(check(fork.get(), "open a fork"));
    TRY(check(::faccessat(fork.get(), "file", F_OK, 0), "find a file in a fork"));
    (void)TRY(nested_subvolumes(fork.get()));
    usage = TRY(measure_subvolume(first.get()));
  }
  if (usage.inodes != 2) {
    return base::fail(ErrorCode::unavailable, "a subvolume with one file has {} inodes", usage.inodes);
  }
  TRY(destroy_subvolume(scratch, "fork"));
  return destroy_subvolume(scratch, "first");
}

Status try_reflink(int scratch) {
  constexpr std::int64_t size = 64 * 1024;
  const Fd from(::openat(scratch, "from", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  const Fd to(::openat(scratch, "to", O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  TRY(check(from.get(), "make a file"));
  TRY(check(to.get(), "make a file"));
  TRY(base::write_full(from.get(), std::string(size, 'x')));
  TRY(check(::ioctl(to.get(), FICLONE, from.get()), "clone a file"));
  if (TRY(shared_bytes_of_file(to.get())) != size) {
    return base::fail(ErrorCode::unavailable, "the blocks of a clone are not shared");
  }
  TRY(base::write_full(to.get(), std::string(size, 'y')));
  std::array<char, 1> first{};
  TRY(check(static_cast<int>(::pread(from.get(), first.data(), 1, 0)), "read a file that was cloned"));
  if (first[0] != 'x' || TRY(shared_bytes_of_file(to.get())) != 0) {
    return base::fail(ErrorCode::unavailable, "a clone that was written to is not alone");
  }
  return {};
}

Status in_own_directory(const base::HostPath& scratch, Status (*attempt)(int)) {
  const Fd parent = TRY(base::open_host_dir(scratch));
  const std::string name = fmt::format("probe-{}", ::getpid());
  const auto path = base::TreePath().child(name);
  TRY(base::remove_all_beneath(parent.get(), path, destroy_subvolume));
  Status outcome;
  {
    const Fd probe = TRY(make_dir(parent.get(), name.c_str()));
    outcome = attempt(probe.get());
  }
  TRY(base::remove_all_beneath(parent.get(), path, destroy_subvolume));
  return outcome;
}

}  // namespace

Status probe_overlay(const base::HostPath& scratch) { return in_own_directory(scratch, try_overlay); }
Status probe_btrfs(const base::HostPath& scratch) { return in_own_directory(scratch, try_btrfs); }
Status probe_reflink(const base::HostPath& scratch) { return in_own_directory(scratch, try_reflink); }

}  // namespace cairn::snapshot
