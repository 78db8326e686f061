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
#include <cstring>
#include <vector>

#include "libbase/fs/fd.h"

namespace cairn::test {
namespace {

using base::Fd;

constexpr unsigned loop_major = 7;

// Once in each process: a child must not mount into the namespace of its parent, where it would stay.
void enter_own_mount_namespace() {
  static std::atomic<pid_t> entered = 0;
  if (entered.exchange(::getpid()) == ::getpid()) return;
  CHECK(::unshare(CLONE_NEWNS) == 0, "a mount namespace for the test: {}", ::strerror(errno));
  CHECK(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private: {}", ::strerror(errno));
}

Fd memory_file(std::uint64_t size_bytes) {
  Fd image(::memfd_create("cairn-loop", MFD_CLOEXEC));
  CHECK(image, "a file in memory: {}", ::strerror(errno));
  CHECK(::ftruncate(image.get(), static_cast<off_t>(size_bytes)) == 0, "size of an image: {}", ::strerror(errno));
  return image;
}

struct LoopDevice {
  Fd fd;
  std::string path;
};

// A free device, bound to the image. It clears itself when nobody has it open or mounted any more.
LoopDevice attach(int image) {
  const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  CHECK(control, "open /dev/loop-control: {}", ::strerror(errno));
  while (true) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    CHECK(number >= 0, "find a free loop device: {}", ::strerror(errno));
    LoopDevice device;
    device.path = "/dev/loop" + std::to_string(number);
    device.fd = Fd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device.fd && errno == ENOENT) {  // no devtmpfs
      (void)::mknod(device.path.c_str(), S_IFBLK | 0660, ::makedev(loop_major, static_cast<unsigned>(number)));
      device.fd = Fd(::open(device.path.c_str(), O_RDWR | O_CLOEXEC));
    }
    CHECK(device.fd, "open {}: {}", device.path, ::strerror(errno));
    struct ::loop_config config {};
    config.fd = static_cast<std::uint32_t>(image);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.fd.get(), LOOP_CONFIGURE, &config) == 0) return device;
    CHECK(errno == EBUSY, "bind {}: {}", device.path, ::strerror(errno));  // somebody else took it first
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

void make_file_system(LoopFsKind kind, const std::string& device) {
  auto words = make_command(kind);
  words.push_back(device);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    (void)::dup2(::open("/dev/null", O_WRONLY | O_CLOEXEC), STDOUT_FILENO);  // advice
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0, "{} {}: status {:#x} (scripts/setup test installs it)", words[0], device, status);
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
  enter_own_mount_namespace();
  const Fd image = memory_file(size_bytes);
  const LoopDevice device = attach(image.get());
  make_file_system(kind, device.path);
  CHECK(::mount(device.path.c_str(), path().c_str(), name_of(kind).data(), MS_NOATIME, options.c_str()) == 0,
        "mount {} on {}: {}", device.path, path().str(), ::strerror(errno));
  device_ = device.path;
}

LoopFs::~LoopFs() {
  // Lazily: a test that failed may still have something open in it.
  (void)::umount2(path().c_str(), MNT_DETACH);
}

}  // namespace cairn::test
