// SPDX-License-Identifier: Apache-2.0
// The digests of one entry by the rules of both kinds of tree, which differ in what of its header counts.
#pragma once

#include <cstddef>
#include <span>

#include "libbase/hash/sha256.h"
#include "libcache/directory_stats.h"
#include "libcache/tree_entry.h"

namespace cairn::cache {

// Reusable: begin() forgets what was not finished. Not thread-safe.
class EntryDigester {
 public:
  void begin(const TreeEntry& entry, Times times = Times::ignored);
  void update(std::span<const std::byte> bytes);  // of a file
  EntryDigests finish();

 private:
  base::Sha256 scan_, stream_;
  bool is_begun_ = false;
  bool differs_ = false;  // the entry has another header by the rules of streams
};

}  // namespace cairn::cache
