// SPDX-License-Identifier: Apache-2.0
// The digest of one directory's contents (spec/storage 3.3): the hash over its header and its names in order, each with
// its digest. Who computes it, from which source, does not matter here.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libcache/digests.h"

namespace cairn::cache {

// Skipping a finished directory passes over its names up to those that begin with byte FF: these are hashed again in the
// directory above, each with what its own contents add by the same rule. An oddity that must be kept.
struct HashedAgain {
  std::string name;  // the key without that of the directory: begins with NUL
  TreeDigest digest;
  bool operator==(const HashedAgain&) const = default;
};

struct Contents {
  TreeDigest digest;
  std::vector<HashedAgain> again;  // almost always empty
  bool operator==(const Contents&) const = default;
};

// Reusable after finish(). Not thread-safe.
class ContentsHash {
 public:
  void add_header(const TreeDigest& digest);
  // In bytewise order of the names, which have no NUL in front here.
  void add_name(std::string_view name, const TreeDigest& digest);
  void add_directory(std::string_view name, const Contents& contents);
  Contents finish();

 private:
  void add(std::string name, const TreeDigest& digest);
  base::Sha256 hash_;
  std::vector<HashedAgain> again_;
};

}  // namespace cairn::cache
