// SPDX-License-Identifier: Apache-2.0
// What may be done with a cache mount of a store, by whoever owns it: measure what it holds, bound it, end it.
#pragma once

#include <cstdint>
#include <optional>
#include <stop_token>
#include <string>
#include <vector>

#include "libbase/result.h"
#include "libcache/digests.h"
#include "tools/engine/engine.h"

namespace cairn::engine {

struct CacheMountOrder {
  enum class Action : std::uint8_t { measure = 0, limit = 1, end = 2 };
  Action action = Action::measure;
  KeyDigest key;
  std::string path;                   // measure: which directory of it; "": all
  std::optional<std::int64_t> limit;  // limit: bytes; none: without one
  bool dry_run = false;               // end: tells what it would free
};

struct CacheMountAnswer {
  struct Entry {
    std::string name;  // a directory's ends in a slash
    std::int64_t bytes = 0;
    std::uint64_t inodes = 0;
  };
  std::vector<Entry> entries;     // measure: of that directory, the largest first
  std::uint64_t records = 0;      // end: versions that are gone
  std::int64_t freed_bytes = 0;   // end: what that freed; a version that a step uses goes later
};

// Errors: not_found (no such mount, no version, no such directory in it), invalid_argument (a path that leads out), no_space, io.
base::Result<CacheMountAnswer> run_order(Engine& engine, const CacheMountOrder& order, std::stop_token stop);
}  // namespace cairn::engine
