// SPDX-License-Identifier: Apache-2.0
// Which namespaces a blob is there for (blob_namespace.h). Losing a row costs somebody an upload, so the journal leaves them out.
#pragma once

#include <map>
#include <tuple>

#include "libbase/lmdb/env.h"
#include "libbase/sync.h"
#include "libcache/blob_namespace.h"
#include "libcache/records/row_keys.h"

namespace cairn::cache::table {

inline constexpr base::lmdb::TableSpec<std::tuple<BlobDigest, NamespaceId>, Present> blob_namespaces{
    {"cache.blob_namespaces", base::lmdb::Precious::ephemeral}};

}  // namespace cairn::cache::table

namespace cairn::cache {

// With the row of the blob.
base::Status erase_namespaces_of(base::lmdb::WriteTxn& txn, const BlobDigest& blob);

// Rows that are on their way to disk: found by others at once. Thread-safe.
class FreshNamespaces {
 public:
  using Key = std::tuple<BlobDigest, NamespaceId>;
  void add(const Key& key) { ++(*keys_.lock())[key]; }
  void remove(const Key& key) {
    auto keys = keys_.lock();
    if (const auto found = keys->find(key); found != keys->end() && --found->second == 0) keys->erase(found);
  }
  bool has(const Key& key) { return keys_.lock()->contains(key); }

 private:
  base::Guarded<std::map<Key, std::uint32_t>> keys_;  // by puts
};

}  // namespace cairn::cache
