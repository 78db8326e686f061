// SPDX-License-Identifier: Apache-2.0
#include "libsnapshot/mounts/detached.h"

#include <fcntl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace cairn::snapshot {
namespace {

using base::Fd;
using base::Status;

base::Result<DetachedMount> with_directory(Fd mount) {
  Fd directory(::openat(mount.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!directory) return base::fail_errno(errno, "open the root of a mount");
  return DetachedMount{std::move(mount), std::move(directory)};
}

}  // namespace

base::Result<DetachedMount> mount_directory(int directory, Access access) {
  Fd mount(::open_tree(directory, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH));
  if (!mount) return base::fail_errno(errno, "clone a mount");
  struct ::mount_attr attributes {};
  attributes.attr_set = access == Access::read_only ? MOUNT_ATTR_RDONLY : 0;
  attributes.propagation = MS_PRIVATE;  // the clone joins the peer group of its origin otherwise
  if (::mount_setattr(mount.get(), "", AT_EMPTY_PATH, &attributes, sizeof attributes) != 0) {
    return base::fail_errno(errno, "set the attributes of a mount");
  }
  return with_directory(std::move(mount));
}

base::Result<OverlayBuilder> OverlayBuilder::start(OverlayMarksIn marks) {
  Fd context(::fsopen("overlay", FSOPEN_CLOEXEC));
  if (!context && (errno == EPERM || errno == ENODEV)) {
    return base::fail(base::ErrorCode::unavailable, "fsopen overlay: {}", base::errno_text(errno));
  }
  if (!context) return base::fail_errno(errno, "fsopen overlay");
  OverlayBuilder builder(std::move(context));
  TRY(builder.set("source", "cairn"));
  if (marks == OverlayMarksIn::user) TRY(builder.set("userxattr", nullptr));
  // An upper must stand for itself: no renamed directories or metadata-only copies that point into other layers.
  // With marks of users' the kernel refuses "off", which would follow renames that it finds.
  builder.set_if_known("redirect_dir", marks == OverlayMarksIn::user ? "nofollow" : "off");
  builder.set_if_known("metacopy", "off");
  builder.set_if_known("index", "off");
  builder.set_if_known("xino", "off");
  return builder;
}

Status OverlayBuilder::failure(int error_number, std::string_view what) {
  // The kernel says why in the log of the context ("e overlay: ...").
  std::array<char, 512> log{};
  std::string reason;
  while (true) {
    const ssize_t size = ::read(context_.get(), log.data(), log.size());
    if (size <= 0) break;
    reason = std::string(log.data(), static_cast<std::size_t>(size));
    while (reason.ends_with('\n')) reason.pop_back();
  }
  if (reason.empty()) return base::fail_errno(error_number, "overlay: {}", what);
  return base::fail_errno(error_number, "overlay: {} ({})", what, reason);
}

Status OverlayBuilder::set(const char* key, const char* value) {
  const int done = value == nullptr ? ::fsconfig(context_.get(), FSCONFIG_SET_FLAG, key, nullptr, 0)
                                    : ::fsconfig(context_.get(), FSCONFIG_SET_STRING, key, value, 0);
  if (done != 0) return failure(errno, fmt::format("set {}", key));
  return {};
}

void OverlayBuilder::set_if_known(const char* key, const char* value) {
  // A kernel that does not know the option does not have the feature either.
  if (::fsconfig(context_.get(), FSCONFIG_SET_STRING, key, value, 0) != 0) (void)failure(errno, key);
}

Status OverlayBuilder::set_directory(const char* key, int directory) {
  if (::fsconfig(context_.get(), FSCONFIG_SET_FD, key, nullptr, directory) == 0) return {};
  // Older kernels take names only; this one is short whatever the real path is.
  return set(key, fmt::format("/proc/self/fd/{}", directory).c_str());
}

Status OverlayBuilder::add_lower(int directory) { return set_directory("lowerdir+", directory); }

Status OverlayBuilder::set_upper(int upper, int work) {
  TRY(set_directory("upperdir", upper));
  TRY(set_directory("workdir", work));
  TRY(set("volatile", nullptr));
  access_ = Access::read_write;
  return {};
}

base::Result<DetachedMount> OverlayBuilder::finish() {
  if (::fsconfig(context_.get(), FSCONFIG_CMD_CREATE, nullptr, nullptr, 0) != 0) {
    return tl::unexpected(failure(errno, "create").error());
  }
  const unsigned attributes = access_ == Access::read_only ? MOUNT_ATTR_RDONLY : 0;
  Fd mount(::fsmount(context_.get(), FSMOUNT_CLOEXEC, attributes));
  if (!mount) return tl::unexpected(failure(errno, "mount").error());
  return with_directory(std::move(mount));
}

}  // namespace cairn::snapshot
