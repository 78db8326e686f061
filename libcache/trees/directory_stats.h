// SPDX-License-Identifier: Apache-2.0
// The part of the stat cache that is about one directory, while its digest is computed.
#pragma once

#include <functional>
#include <optional>
#include <string_view>
#include <vector>

#include "libbase/sync.h"
#include "libcache/stat_cache.h"
#include "libcache/trees/stat_rows.h"

namespace cairn::cache {

// Thread-safe but for finish().
class DirectoryStats {
 public:
  // dir is open, and seen is what it is. Nothing is known, and nothing will be remembered, if its file system cannot be
  // told apart from others.
  DirectoryStats(StatCache& cache, int dir, const StatX& seen);

  // name "" is the directory itself.
  std::optional<EntryDigests> find(std::string_view name, const StatX& seen) const;
  // What find() did not know, and has now been read. Not remembered if it is too new to be trusted.
  void note(std::string_view name, const StatX& seen, const EntryDigests& digests);
  // Remembers what was noted beside what was known; names that the directory lacks by now are forgotten.
  void finish(const std::function<bool(std::string_view name)>& has_name);

 private:
  StatCache& cache_;
  std::optional<StatKey> key_;
  std::vector<StatEntry> known_;  // by name
  std::uint32_t used_day_ = 0;
  base::Guarded<std::vector<StatEntry>> noted_;
};

}  // namespace cairn::cache
