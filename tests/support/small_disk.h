// SPDX-License-Identifier: Apache-2.0
// A few KiB of memory as a disk of a test's own, to be full soon. As with LoopFs the mount is in a mount namespace of this
// process alone, so it cannot stay behind; make it on the main thread before others are started.
#pragma once

#include <sched.h>
#include <sys/mount.h>

#include <filesystem>
#include <string>

#include "libbase/path.h"
#include "libbase/result.h"

namespace cairn::test {

class SmallDisk {
 public:
  // Aborts if it cannot be made: a test that needs it cannot run.
  SmallDisk(const base::HostPath& at, const std::string& size) : at_(at) {
    std::filesystem::create_directories(at.str());
    CHECK(::unshare(CLONE_NEWNS) == 0 && ::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "mount namespace");
    CHECK(::mount("small disk", at.c_str(), "tmpfs", 0, ("size=" + size).c_str()) == 0, "{}", at.str());
  }
  ~SmallDisk() { ::umount2(at_.c_str(), MNT_DETACH); }
  SmallDisk(const SmallDisk&) = delete;
  SmallDisk& operator=(const SmallDisk&) = delete;

 private:
  const base::HostPath at_;
};

// What is at `file` is at `over` while this lives.
class BoundFile {
 public:
  BoundFile(const base::HostPath& file, const base::HostPath& over) : over_(over) {
    CHECK(::mount(file.c_str(), over.c_str(), nullptr, MS_BIND, nullptr) == 0, "{}", over.str());
  }
  ~BoundFile() { ::umount2(over_.c_str(), MNT_DETACH); }
  BoundFile(const BoundFile&) = delete;
  BoundFile& operator=(const BoundFile&) = delete;

 private:
  const base::HostPath over_;
};

}  // namespace cairn::test
