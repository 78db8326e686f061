// SPDX-License-Identifier: Apache-2.0
// One run of a workload on a recorded disk: the disk as it was before, and what it has been asked since.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "tests/support/block_device.h"
#include "tests/support/disk/fuse_disk.h"
#include "tests/support/disk/image.h"

namespace cairn::test {

struct Recording {
  FileSystem kind;
  base::Fd before;                 // the disk with an empty file system
  std::unique_ptr<FuseDisk> disk;  // keeps the log
  std::vector<DiskRecord> records;
};

// Makes a file system on a recorded disk, mounts it, and runs `work` with the mount point and the log.
Recording record(FileSystem kind, const std::function<void(const base::HostPath&, FuseDisk&, const LoopDevice&)>& work,
                 const std::string& mount_options = "");

// The cuts to try: after every request from the first flush on, and half as many as there are flushes that lose a random part of
// what no flush covered; or a sample of flushes and points.
enum class Reach { sample, full };
std::vector<Cut> choose_cuts(const std::vector<DiskRecord>& records, Reach reach, std::uint64_t seed);

}  // namespace cairn::test
