// SPDX-License-Identifier: Apache-2.0
// The part of the stat cache that is about one directory, while it is read.
#pragma once

#include <sys/stat.h>

#include <functional>
#include <memory>
#include <optional>
#include <string_view>

#include "libcache/stat_cache.h"
#include "libcache/tree_digest.h"

namespace cairn::cache {

using StatX = struct ::statx;  // with STATX_BASIC_STATS | STATX_BTIME

// The digest of an entry by the rules of both kinds of tree; they are the same for nearly all.
struct EntryDigests {
  TreeDigest scan, stream;
  const TreeDigest& by(DigestRules rules) const { return rules == DigestRules::scan ? scan : stream; }
  bool operator==(const EntryDigests&) const = default;
};

// What reading a name has told about it, beside what stat says.
struct NameContent {
  EntryDigests digests;
  XattrsDigest xattrs;  // of all of them; zero if there is none. Kept by caches of what is sent only
  bool operator==(const NameContent&) const = default;
};

// Thread-safe but for forget_missing() and finish(). The cache outlives it.
class DirectoryStats {
 public:
  // dir is open, and seen is what it is. Nothing is known, and nothing will be remembered, if its file system cannot be
  // told apart from others.
  DirectoryStats(StatCache& cache, int dir, const StatX& seen);
  ~DirectoryStats();

  // name "" is the directory itself.
  std::optional<NameContent> find(std::string_view name, const StatX& seen) const;
  // What find() did not know, and has now been read. Not remembered if it is too new to be trusted.
  void note(std::string_view name, const StatX& seen, const NameContent& content);
  // Names that the directory lacks by now are forgotten.
  void forget_missing(const std::function<bool(std::string_view name)>& has_name);
  // Remembers what was noted beside what was known. Once.
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
