// SPDX-License-Identifier: Apache-2.0
// The disk works on a file while the rest of it is still being made, so that the sync at the end has little left to wait for.
#pragma once

#include <fcntl.h>

#include <cstdint>

namespace cairn::base {

// For one file that is written from its beginning to its end. Not thread-safe. Only a hint: what is durable, a sync says.
class EarlyWriteback {
 public:
  // Bytes: all that have been written so far.
  void wrote(int file, std::uint64_t bytes) {
    if (bytes - pushed_ < push_bytes) return;
    ::sync_file_range(file, static_cast<off64_t>(pushed_), static_cast<off64_t>(bytes - pushed_), SYNC_FILE_RANGE_WRITE);
    pushed_ = bytes;
  }

 private:
  static constexpr std::uint64_t push_bytes = 8 << 20;
  std::uint64_t pushed_ = 0;  // the disk has been told to write up to here
};

}  // namespace cairn::base
