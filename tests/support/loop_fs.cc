// SPDX-License-Identifier: Apache-2.0
#include "tests/support/loop_fs.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <vector>

#include "libbase/fs/fd.h"

namespace cairn::test {
namespace {

using base::Fd;
using base::Status;

constexpr unsigned loop_major = 7;

Status check(int outcome, const std::string& what) {
  if (outcome >= 0) return {};
  return base::fail(base::ErrorCode::unavailable, "{}: {}", what, base::errno_text(errno));
}

// Once in each process: a child must not mount into the namespace of its parent, where it would stay.
Status enter_own_mount_namespace() {
  static std::atomic<pid_t> entered = 0;
  if (entered == ::getpid()) return {};
  TRY(check(::unshare(CLONE_NEWNS), "a mount namespace for the test"));
  TRY(check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private"));
  entered = ::getpid();
  return {};
}

base::Result<Fd> memory_file(std::uint64_t size_bytes) {
  // mkfs.btrfs takes devices whose files have one name for one device, which may be mounted.
  static std::atomic<int> number = 0;
  Fd image(::memfd_create(fmt::format("cairn-loop-{}-{}", ::getpid(), ++number).c_str(), MFD_CLOEXEC));
  TRY(check(image.get(), "a file in memory"));
  TRY(check(::ftruncate(image.get(), static_cast<off_t>(size_bytes)), "set the size of an image"));
  return image;
}

struct LoopDevice {
  Fd fd;
  std::string path;
};

// A free device, bound to the image. It clears itself when nobody has it open or mounted any more.
base::Result<LoopDevice> attach(int image) {
  const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  TRY(check(control.get(), "open /dev/loop-control"));
  while (true) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    TRY(check(number, "find a free loop device"));
    LoopDevice device;
    device.path = "/dev/loop" + std::to_string(number);
    device.fd = Fd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd && errno == ENOENT) {  // no devtmpfs
      (void)::mknod(device.path.c_str(), S_IFBLK | 0660, ::makedev(loop_major, static_cast<unsigned>(number)));
      device.fd = Fd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    }
    TRY(check(device.fd.get(), "open " + device.path));
    struct ::loop_config config {};
    config.fd = static_cast<std::uint32_t>(image);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    if (errno != EBUSY) TRY(check(-1, "bind " + device.path));  // busy: somebody else took it first
  }
}

std::vector<std::string> make_command(LoopFsKind kind) {
  switch (kind) {
    case LoopFsKind::ext4: return {"mkfs.ext4", "-q", "-F"};
    case LoopFsKind::btrfs: return {"mkfs.btrfs", "-q", "-f"};
    case LoopFsKind::xfs: return {"mkfs.xfs", "-q", "-f", "-m", "reflink=1"};
  }
  return {};
}

Status make_file_system(LoopFsKind kind, const std::string& device) {
  auto words = make_command(kind);
  words.push_back(device);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  TRY(check(child, "fork"));
  if (child == 0) {
    (void)::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);  // advice
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  if (status != 0) {
    return base::fail(base::ErrorCode::unavailable, "{} {}: status {:#x} (scripts/setup test installs it)", words[0],
                      device, status);
  }
  return {};
}

}  // namespace

std::string_view name_of(LoopFsKind kind) {
  switch (kind) {
    case LoopFsKind::ext4: return "ext4";
    case LoopFsKind::btrfs: return "btrfs";
    case LoopFsKind::xfs: return "xfs";
  }
  return "";
}

LoopFs::LoopFs(LoopFsKind kind, std::uint64_t size_bytes, const std::string& options) {
  const auto mounted = mount(kind, size_bytes, options);
  CHECK(mounted.has_value(), "{}", mounted.error().message);
}

base::Result<std::unique_ptr<LoopFs>> LoopFs::make(LoopFsKind kind, std::uint64_t size_bytes,
                                                   const std::string& options) {
  std::unique_ptr<LoopFs> fs(new LoopFs());
  TRY(fs->mount(kind, size_bytes, options), "make a file system of type {}", name_of(kind));
  return fs;
}

Status LoopFs::mount(LoopFsKind kind, std::uint64_t size_bytes, const std::string& options) {
  TRY(enter_own_mount_namespace());
  const Fd image = TRY(memory_file(size_bytes));
  const LoopDevice device = TRY(attach(image.get()));
  TRY(make_file_system(kind, device.path));
  TRY(check(::mount(device.path.c_str(), path().c_str(), name_of(kind).data(), MS_NOATIME, options.c_str()),
            "mount " + device.path));
  device_ = device.path;
  return {};
}

LoopFs::~LoopFs() {
  // Lazily: a test that failed may still have something open in it.
  if (!device_.empty()) (void)::umount2(path().c_str(), MNT_DETACH);
}

}  // namespace cairn::test
