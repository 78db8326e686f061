// SPDX-License-Identifier: Apache-2.0
// What a disk holds after the power went: the image from before, and of what the log has, what reached the platter.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tests/support/disk/disk_log.h"

namespace cairn::test {

// The disk had completed the first `end` requests. Of those, the first `durable` are on it whole (they were followed by
// a flush, or the disk had no cache); of the later ones a random half is: whole requests, or blocks of 4 KiB.
struct Cut {
  std::size_t end = 0;
  std::size_t durable = 0;
  std::uint64_t seed = 0;
  std::string str() const;
};

// Everything that was asked before the cut is on the disk.
Cut prefix_cut(std::size_t end);
// Only what a flush covers is surely there.
Cut lossy_cut(std::span<const DiskRecord> records, std::size_t end, std::uint64_t seed);
// Behind which requests stands a flush: the number of requests up to and with it, for each.
std::vector<std::size_t> flush_boundaries(std::span<const DiskRecord> records);

// A copy of base with that part of the log applied.
base::Fd image_after(int base, std::span<const DiskRecord> records, const Cut& cut);

}  // namespace cairn::test
