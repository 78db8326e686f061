// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk/block_device.h"

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

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <mutex>
#include <thread>
#include <vector>

namespace cairn::test {
namespace {

constexpr unsigned loop_major = 7;
constexpr std::uint64_t mib = 1u << 20;

std::vector<std::string> make_command(FileSystem kind) {
  switch (kind) {
    case FileSystem::ext4: return {"mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=1"};
    case FileSystem::xfs: return {"mkfs.xfs", "-q", "-f", "-m", "reflink=1"};
    case FileSystem::btrfs: return {"mkfs.btrfs", "-q", "-f"};
  }
  return {};
}

}  // namespace

void own_mounts() {
  static std::once_flag once;
  std::call_once(once, [] {
    CHECK(::unshare(CLONE_NEWNS) == 0, "a mount namespace for the test: {}", ::strerror(errno));
    CHECK(::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make mounts private: {}",
          ::strerror(errno));
  });
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

base::Fd memory_image(std::uint64_t size_bytes) {
  base::Fd image(::memfd_create("cairn-disk", MFD_CLOEXEC));
  CHECK(image, "an image in memory: {}", ::strerror(errno));
  CHECK(::ftruncate(image.get(), static_cast<off_t>(size_bytes)) == 0, "size of an image: {}", ::strerror(errno));
  return image;
}

LoopDevice::LoopDevice(int file) {
  const base::Fd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
  CHECK(control, "this test needs /dev/loop-control: {}", ::strerror(errno));
  while (true) {
    const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
    CHECK(number >= 0, "find a free loop device: {}", ::strerror(errno));
    path_ = "/dev/loop" + std::to_string(number);
    fd_ = base::Fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    if (!fd_ && errno == ENOENT) {  // no devtmpfs
      (void)::mknod(path_.c_str(), S_IFBLK | 0660, ::makedev(loop_major, static_cast<unsigned>(number)));
      fd_ = base::Fd(::open(path_.c_str(), O_RDWR | O_CLOEXEC));
    }
    CHECK(fd_, "open {}: {}", path_, ::strerror(errno));
    struct ::loop_config config {};
    config.fd = static_cast<std::uint32_t>(file);
    config.info.lo_flags = LO_FLAGS_AUTOCLEAR;
    if (::ioctl(fd_.get(), LOOP_CONFIGURE, &config) == 0) return;
    CHECK(errno == EBUSY, "bind {}: {}", path_, ::strerror(errno));  // somebody else took it first
  }
}

std::uint64_t LoopDevice::flushes() const {
  // The 16th field of /sys/block/<name>/stat (kernel documentation, block/stat).
  std::ifstream stat("/sys/block/" + path_.substr(5) + "/stat");
  std::uint64_t value = 0;
  for (int field = 0; field < 16; ++field) CHECK(static_cast<bool>(stat >> value), "{} has no count of flushes", path_);
  return value;
}

void make_file_system(FileSystem kind, const std::string& device) {
  auto words = make_command(kind);
  words.push_back(device);
  std::vector<char*> arguments;
  for (auto& word : words) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  const pid_t child = ::fork();
  CHECK(child >= 0, "fork: {}", ::strerror(errno));
  if (child == 0) {
    ::execvp(arguments[0], arguments.data());
    ::_exit(127);
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  CHECK(status == 0, "{} {}: status {:#x} (scripts/setup test installs it)", words[0], device, status);
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
