// SPDX-License-Identifier: Apache-2.0
// The file systems that tests make for themselves: that they are what they say, and that none outlives its process.
#include "tests/support/loop_fs.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <linux/magic.h>
#include <signal.h>
#include <sys/statfs.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <fstream>
#include <thread>

#include "libbase/fs/fd.h"

namespace cairn::test {
namespace {

// Whether the kernel still has a device of this name bound to something.
bool bound(const std::string& device) {
  return ::access(("/sys/block/" + device.substr(5) + "/loop/backing_file").c_str(), F_OK) == 0;
}

bool mounted(const std::string& device) {
  std::ifstream mounts("/proc/self/mounts");
  for (std::string line; std::getline(mounts, line);) {
    if (line.starts_with(device + " ")) return true;
  }
  return false;
}

// Clearing a device is the kernel's work after the last unmount. The bound is there only so that a failing test ends.
bool eventually_unbound(const std::string& device) {
  for (int i = 0; i < 3000 && bound(device); ++i) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  return !bound(device);
}

TEST(LoopFsTest, IsWhatWasAskedForAndGoesAway) {
  for (const auto& [kind, magic] : {std::pair{FileSystem::ext4, unsigned{EXT4_SUPER_MAGIC}},
                                    std::pair{FileSystem::btrfs, unsigned{BTRFS_SUPER_MAGIC}},
                                    std::pair{FileSystem::xfs, unsigned{XFS_SUPER_MAGIC}}}) {
    std::string device;
    {
      const LoopFs fs(kind, std::uint64_t{512} << 20);
      device = fs.device();
      struct ::statfs about {};
      ASSERT_EQ(::statfs(fs.path().c_str(), &about), 0);
      EXPECT_EQ(static_cast<unsigned>(about.f_type), magic) << name_of(kind);
      EXPECT_TRUE(bound(device));
      EXPECT_TRUE(mounted(device));
    }
    EXPECT_FALSE(mounted(device));
    EXPECT_TRUE(eventually_unbound(device));
  }
}

TEST(LoopFsTest, LeavesNothingWhenTheTestIsKilled) {
  int pipe[2];
  ASSERT_EQ(::pipe2(pipe, O_CLOEXEC), 0);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const LoopFs fs(FileSystem::ext4, std::uint64_t{64} << 20);
    // Keeps files open in it, as a test would.
    const auto file = base::open_host(fs / "file", O_RDWR | O_CREAT, 0600);
    const std::string told = fs.device() + " " + fs.path().str();
    if (!file || !base::write_full(pipe[1], told)) ::_exit(1);
    ::close(pipe[1]);
    ::pause();
    ::_exit(1);
  }
  ::close(pipe[1]);
  const std::string told = base::read_all(pipe[0], 4096).value_or("");
  ::close(pipe[0]);
  EXPECT_EQ(::kill(child, SIGKILL), 0);
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  const auto space = told.find(' ');
  ASSERT_NE(space, std::string::npos) << told;
  EXPECT_TRUE(eventually_unbound(told.substr(0, space))) << told;
  EXPECT_EQ(::rmdir(told.substr(space + 1).c_str()), 0) << "the empty directory is all that is left";
}

}  // namespace
}  // namespace cairn::test
