// SPDX-License-Identifier: Apache-2.0
// Cache mounts by name (docs/decisions/0016): which key leads to the newest version of which mount, and how much it may hold.
// How steps use and publish versions is libsolver's (ops/cache_mounts.h); the names are here, so that a store can be asked for
// its mounts, and one of them bounded or ended.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "libbase/lmdb/env.h"
#include "libbase/lmdb/group_writer.h"
#include "libbase/path.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/record.h"

namespace cairn::cache {

struct Store;  // private

inline constexpr std::size_t cache_mount_id_bytes_max = 1024;  // of a longer one the beginning is kept

struct CacheMountName {
  KeyDigest key;      // its results are the versions that steps find; the newest counts
  std::string id;     // as steps say it
  RecordId base{};    // what an empty one begins with; 0: nothing
};

struct CacheMountInfo : CacheMountName {
  std::optional<std::int64_t> limit;       // bytes that a version may hold
  std::vector<RecordInfo> versions;        // the newest first, each built on the next; none: collected, or never kept
  std::int64_t bytes() const;              // what all versions take for themselves
};

// By id, then key. Reads beside the owner of the store. O(mounts and their versions).
base::Result<std::vector<CacheMountInfo>> list_cache_mounts(base::lmdb::Env& env, const base::HostPath& root);

// Of the store's owner. Thread-safe. What queues a change returns the number to wait for.
class CacheMountNames {
 public:
  explicit CacheMountNames(Store& store) : store_(store) {}

  struct Known {
    std::optional<std::int64_t> limit;
  };
  base::Result<std::optional<Known>> find(const KeyDigest& key);  // one read
  base::Result<std::vector<CacheMountInfo>> list();               // what is durable, as list_cache_mounts
  // Nothing if there is one of this key; else one without a limit.
  base::Result<base::lmdb::SequenceNumber> remember(CacheMountName name);
  // nullopt: none. The change fails with not_found if there is no such mount.
  base::Result<base::lmdb::SequenceNumber> set_limit(const KeyDigest& key, std::optional<std::int64_t> limit);
  // No key leads to its versions any more and its name is forgotten: the next step that uses it begins anew, and the next
  // prune or collection takes them. A step that has one keeps it. Durable when it returns, and no lookup that begins later
  // finds them.
  base::Status end(const KeyDigest& key);

 private:
  Store& store_;
};

}  // namespace cairn::cache
