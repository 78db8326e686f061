// SPDX-License-Identifier: Apache-2.0
#include "tests/support/disk/fuse_disk.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string>

#include "tests/support/block_device.h"
#include "tests/support/must.h"

namespace cairn::test {

FuseDisk::FuseDisk(int image) : log_(DiskLog::create()) {
  must(own_mounts());
  CHECK(::access("/dev/fuse", R_OK | W_OK) == 0, "this test needs /dev/fuse: {}", ::strerror(errno));
  std::array<int, 2> ready{};
  CHECK(::pipe2(ready.data(), O_CLOEXEC) == 0, "pipe: {}", ::strerror(errno));
  base::Fd started(ready[0]), report(ready[1]);
  const std::array<std::string, 6> words = {std::string(CAIRN_BIN_DIR "/cairn_fuse_disk"),
                                            mount_point_.path().str(),
                                            std::to_string(image),
                                            std::to_string(log_.memory()),
                                            std::to_string(report.get()),
                                            std::to_string(::getpid())};
  std::array<char*, 7> arguments{};
  for (std::size_t i = 0; i < words.size(); ++i) arguments[i] = const_cast<char*>(words[i].c_str());
  server_ = ::fork();
  CHECK(server_ >= 0, "fork: {}", ::strerror(errno));
  if (server_ == 0) {
    for (const int fd : {image, log_.memory(), report.get()}) ::fcntl(fd, F_SETFD, 0);
    ::execv(arguments[0], arguments.data());
    ::_exit(127);
  }
  report.reset();
  char sign = 0;
  CHECK(::read(started.get(), &sign, 1) == 1 && sign == '+', "the FUSE disk on {} has not started ({})",
        mount_point_.path().str(), words[0]);
}

FuseDisk::~FuseDisk() {
  (void)::umount2(mount_point_.path().c_str(), MNT_DETACH);
  ::kill(server_, SIGKILL);  // whatever still uses the disk gets an error
  while (::waitpid(server_, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace cairn::test
