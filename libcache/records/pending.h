// SPDX-License-Identifier: Apache-2.0
// What has been queued and is not durable yet, as an index that lookups ask before LMDB. It is short: a group is on
// disk within half a second. A batch leaves when it failed, or when it is durable and no lookup is left that began
// before that (its version of the store does not have the rows).
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "libbase/sync.h"
#include "libcache/keys/key_rows.h"
#include "libcache/records/batch.h"

namespace cairn::cache {

// Thread-safe.
class Pending {
 public:
  std::uint64_t next_number();
  // A batch whose outcome came first (remove() before add()) is not added.
  void add(const Batch& batch);
  void remove(const Batch& batch);

  bool key_exists(const KeyDigest& key);
  std::vector<KeyDigest> follow(const KeyLink& link);
  bool has_operation(const base::Sha256Bytes& operation, std::uint32_t output);  // some link is of it
  std::vector<KeyResult> results(const KeyDigest& key);
  std::vector<KeyLink> links_to(const KeyDigest& key);
  std::vector<KeyDigest> keys_of(RecordId record);
  std::vector<RecordId> records_of(const ChainId& chain);

  std::optional<TreeDigest> tree_digest(RecordId record, const SelectionsDigest& selections);
  // Digests of records that are not queued yet wait here for their record's own publication.
  void keep_digest(const Batch::Digest& digest);
  std::vector<Batch::Digest> take_digests(RecordId record);
  void forget_digests(RecordId record);

 private:
  template <class Value>
  struct Queued {
    std::uint64_t batch;
    Value value;
  };
  template <class Key, class Value>
  using Index = std::unordered_map<Key, std::vector<Queued<Value>>>;

  struct State {
    std::uint64_t last_number = 0;
    std::unordered_set<std::uint64_t> added, finished_first;
    Index<KeyDigest, KeyResult> results;
    Index<RecordId, KeyDigest> keys;
    Index<KeyDigest, std::pair<KeyLink, KeyDigest>> links;      // by from
    Index<KeyDigest, KeyLink> backlinks;                        // by target
    std::map<std::pair<base::Sha256Bytes, std::uint32_t>, std::uint64_t> operations;  // how many links each has
    Index<ChainId, RecordId> chains;
    Index<RecordId, Batch::Digest> digests;

    void add(const Batch& batch);
    void remove(const Batch& batch);
  };
  base::Guarded<State> state_;
};

}  // namespace cairn::cache
