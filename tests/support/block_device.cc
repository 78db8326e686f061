// SPDX-License-Identifier: Apache-2.0
#include "tests/support/block_device.h"

#include <fcntl.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <thread>
#include <vector>

namespace cairn::test {
namespace {

using base::Fd;
using base::Status;

constexpr unsigned loop_major = 7;
constexpr std::uint64_t mib = 1u << 20;

Status check(int outcome, const std::string& what) {
  if (outcome >= 0) return {};
  return base::fail(base::ErrorCode::unavailable, "{}: {}", what, base::errno_text(errno));
}

std::vector<std::string> make_command(FileSystem kind, Tables tables) {
  switch (kind) {
    case FileSystem::ext4:
      if (tables == Tables::left_for_later) return {"mkfs.ext4", "-q", "-F"};
      return {"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=1"};
    case FileSystem::xfs: return {"mkfs.xfs", "-q", "-f", "-m", "reflink=1"};
    case FileSystem::btrfs: return {"mkfs.btrfs", "-q", "-f"};
  }
  return {};
}

}  // namespace

Status own_mounts() {
  static std::atomic<pid_t> entered = 0;
  if (entered == ::getpid()) return {};
  TRY(check(::unshare(CLONE_NEWNS), "a mount namespace for the test"));
  TRY(check(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr), "make mounts private"));
  entered = ::getpid();
  return {};
}

std::string_view name_of(FileSystem kind) {
  switch (kind) {
    case FileSystem::ext4: return "ext4";
    case FileSystem::xfs: return "xfs";
    case FileSystem::btrfs: return "btrfs";
  }
  return "";
}

std::uint64_t smallest_disk(FileSystem kind) {
  switch (kind) {
    case FileSystem::ext4: return 128 * mib;
    case FileSystem::xfs: return 320 * mib;
    case FileSystem::btrfs: return 256 * mib;
  }
  return 0;
}

Fd memory_image(std::uint64_t size_bytes) {
  // mkfs.btrfs takes devices whose files have one name for one device, which may be mounted.
  static std::atomic<int> number = 0;
  Fd image(::memfd_create(fmt::format("cairn-disk-{}-{}", ::getpid(), ++number).c_str(), MFD_CLOEXEC));
  CHECK(image, "an image in memory: {}", ::strerror(errno));
  CHECK(::ftruncate(image.get(), static_cast<off_t>(size_bytes)) == 0, "size of an image: {}", ::strerror(errno));
  return image;
}

base::Result<LoopDevice> LoopDevice::attach(int file) {
  const Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  TRY(check(control.get(), "open /dev/loop-control"));
  while (true) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    TRY(check(number, "find a free loop device"));
    const std::string path = "/dev/loop" + std::to_string(number);
    Fd device(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    if (!device && errno == ENOENT) {  // no devtmpfs
      (void)::mknod(path.c_str(), S_IFBLK | 0660, ::makedev(loop_major, static_cast<unsigned>(number)));
      device = Fd(::open(path.c_str(), O_RDWR | O_CLOEXEC));
    }
    TRY(check(device.get(), "open " + path));
    struct ::loop_config config {};
    config.fd = static_cast<std::uint32_t>(file);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return LoopDevice(path, std::move(device));
    if (errno != EBUSY) TRY(check(-1, "bind " + path));  // busy: somebody else took it first
  }
}

std::uint64_t LoopDevice::flushes() const {
  // The 16th field of /sys/block/<name>/stat (kernel documentation, block/stat).
  std::ifstream stat("/sys/block/" + path_.substr(5) + "/stat");
  std::uint64_t value = 0;
  for (int field = 0; field < 16; ++field) CHECK(static_cast<bool>(stat >> value), "{} has no count of flushes", path_);
  return value;
}

Status make_file_system(FileSystem kind, const std::string& device, Tables tables) {
  auto words = make_command(kind, tables);
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
  if (status == 0) return {};
  return base::fail(base::ErrorCode::unavailable, "{} {}: status {:#x} (scripts/setup test installs it)", words[0],
                    device, status);
}

base::Result<Mount> Mount::make(FileSystem kind, const std::string& device, const base::HostPath& where,
                                const std::string& options) {
  if (::mount(device.c_str(), where.c_str(), name_of(kind).data(), MS_NOATIME, options.c_str()) != 0) {
    return base::fail(base::ErrorCode::corrupt, "mount {} ({}): {}", device, name_of(kind), ::strerror(errno));
  }
  return Mount(where.str());
}

Mount::~Mount() { unmount(); }

bool Mount::unmount() {
  if (where_.empty()) return true;
  const std::string where = std::exchange(where_, "");
  for (int tries = 0; tries < 2000; ++tries) {
    if (::umount2(where.c_str(), 0) == 0) return true;
    if (errno != EBUSY) break;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  (void)::umount2(where.c_str(), MNT_DETACH);
  return false;
}

}  // namespace cairn::test
