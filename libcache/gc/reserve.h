// SPDX-License-Identifier: Apache-2.0
// root/reserve: room that nobody else gets, given up when a change of the metadata finds the disk full, so that a collection
// can go on and make room again. (The metadata keep some blocks of their own behind the end of their file, which are
// enough for most; see libbase/lmdb.)
#pragma once

#include <mutex>

#include "libbase/path.h"

namespace cairn::cache {

// Thread-safe.
class Reserve {
 public:
  explicit Reserve(const base::HostPath& root) : root_(root) {}
  // Takes its share of the disk, if there is plenty: a 128th of it, 8 MiB at most. Never an error.
  void fill();
  enum class Released : std::uint8_t { nothing, something };
  Released release();

 private:
  const base::HostPath root_;
  std::mutex turn_;  // held for a few system calls on one file, and by nothing else
};

}  // namespace cairn::cache
