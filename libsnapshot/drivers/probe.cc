// SPDX-License-Identifier: Apache-2.0
// Whether overlays work here is found out by using one. Versions and module lists do not tell: it depends on the
// kernel, our privileges and the file system below.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "libbase/fs/beneath.h"
#include "libsnapshot/drivers/driver.h"

namespace cairn::snapshot {
namespace {

using base::ErrorCode;
using base::Fd;
using base::Status;

Status check(int outcome, const char* what) {
  if (outcome < 0) return base::fail_errno(errno, "{}", what);
  return {};
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

Status expect_traces(int upper) {
  TRY(expect_whiteout(upper, "removed"));
  TRY(expect_whiteout(upper, "renamed"));
  const Fd opaque(::openat(upper, "opaque", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  TRY(check(opaque.get(), "look for an opaque directory"));
  std::array<char, 8> value{};
  if (::fgetxattr(opaque.get(), "trusted.overlay.opaque", value.data(), value.size()) != 1 || value[0] != 'y') {
    return base::fail(ErrorCode::unavailable, "a directory made again is not opaque");
  }
  return {};
}

Status probe_in(int scratch) {
  const Fd lower = TRY(make_dir(scratch, "lower"));
  const Fd lowest = TRY(make_dir(scratch, "lowest"));
  const Fd upper = TRY(make_dir(scratch, "upper"));
  const Fd work = TRY(make_dir(scratch, "work"));
  TRY(make_file(lower.get(), "removed"));
  TRY(make_file(lowest.get(), "renamed"));
  const Fd opaque = TRY(make_dir(lower.get(), "opaque"));
  TRY(make_file(opaque.get(), "file"));

  auto overlay = TRY(OverlayBuilder::start());
  TRY(overlay.set_upper(upper.get(), work.get()));
  TRY(overlay.add_lower(lower.get()));
  TRY(overlay.add_lower(lowest.get()));
  const auto merged = TRY(overlay.finish());
  TRY(use(merged.directory.get()));
  return expect_traces(upper.get());
}

}  // namespace

Status probe_overlay(const base::HostPath& scratch) {
  const Fd parent = TRY(base::open_host_dir(scratch));
  const std::string name = fmt::format("probe-{}", ::getpid());
  const auto path = base::TreePath().child(name);
  TRY(base::remove_all_beneath(parent.get(), path));
  Status outcome;
  {
    const Fd probe = TRY(make_dir(parent.get(), name.c_str()));
    outcome = probe_in(probe.get());
  }
  TRY(base::remove_all_beneath(parent.get(), path));
  return outcome;
}

}  // namespace cairn::snapshot
