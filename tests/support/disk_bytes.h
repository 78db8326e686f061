// SPDX-License-Identifier: Apache-2.0
// What directories take on a disk whose file system shares blocks between files: each block once.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <utility>

#include "libbase/path.h"

namespace cairn::test {

class DiskBytes {
 public:
  void add(int directory);  // with everything in it; writes out what is dirty. Aborts on an error.
  std::int64_t bytes() const;

 private:
  void add_file(int file);

  std::int64_t others_ = 0;                       // of what is no file
  std::set<std::pair<std::uint64_t, std::int64_t>> links_;  // symlinks and the like: inode and ctime
  std::map<std::uint64_t, std::uint64_t> ends_;   // extents: start → end, on the device
};

}  // namespace cairn::test
