// SPDX-License-Identifier: Apache-2.0
// A disk that writes down what it is asked to do, and fails on command: a file served by a process of its own
// (fuse_disk_main.cc), to be put under a loop device.
#pragma once

#include <sys/types.h>

#include "tests/support/disk/disk_log.h"
#include "tests/support/temp_dir.h"

namespace cairn::test {

class FuseDisk {
 public:
  // image: what is on the disk already; its bytes change as the disk is written to. Aborts with the reason if there is
  // no FUSE here: a test that needs it cannot run. The mount is in a mount namespace of this process (own_mounts()).
  explicit FuseDisk(int image);
  // The file is not used any more. Ends the process of the disk.
  ~FuseDisk();
  FuseDisk(const FuseDisk&) = delete;
  FuseDisk& operator=(const FuseDisk&) = delete;

  base::HostPath file() const { return mount_point_ / "disk"; }
  DiskLog& log() { return log_; }
  DiskSwitches& switches() { return log_.switches(); }

 private:
  TempDir mount_point_;
  DiskLog log_;
  pid_t server_ = -1;
};

}  // namespace cairn::test
