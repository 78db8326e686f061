// SPDX-License-Identifier: Apache-2.0
// What is known to be in a bucket, by the indexes of its packs, in memory: exact digests, so that a yes is a proof, and
// a no is one about all packs that it covers. About 80 bytes for each object; beyond the bound the oldest packs are
// left out.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <span>
#include <unordered_map>
#include <vector>

#include "libbase/sync.h"
#include "libcache/digests.h"
#include "libremote/s3/pack_format.h"

namespace cairn::remote {

struct PackPlace {
  PackName pack;
  std::uint64_t offset = 0;  // after the end of the index
  std::uint64_t size = 0;    // bytes
  bool is_loose = false;     // an object of its own
  bool is_claimed = false;   // by an entry that needs it, not by the index of the pack
};

// Thread-safe.
class BucketIndex {
 public:
  using Time = std::chrono::steady_clock::time_point;
  explicit BucketIndex(std::size_t objects_max) : objects_max_(objects_max) {}

  // The newest pack that has it counts.
  std::optional<PackPlace> entry(const KeyDigest& key);
  std::optional<PackPlace> blob(const BlobDigest& digest);
  // Whether something has to be read to know what is in it. It was in the bucket at that time.
  bool saw(const PackName& name, Time now);
  void add(const PackName& name, std::span<const PackItem> items, Time now);
  void forget(const PackName& name);   // it is not there any more
  void condemn(const PackName& name);  // it is not what it says: for as long as this lives
  // Forgets what was not seen since.
  void forget_unseen(Time since);
  std::size_t size();

 private:
  struct Object {
    std::uint64_t size = 0;
    std::uint32_t pack = 0, offset = 0;  // loose_offset: it is loose
  };
  struct Pack {
    std::uint32_t number = 0;
    Time seen{};
  };
  struct State {
    std::unordered_map<KeyDigest, Object> entries;
    std::unordered_map<BlobDigest, Object> blobs;
    std::map<PackName, Pack> packs;
    std::unordered_map<std::uint32_t, PackName> names;
    std::set<PackName> condemned;
    PackName covered_from{};  // older ones are left out
    std::uint32_t next_number = 0;

    template <class Map, class Key>
    std::optional<PackPlace> find(const Map& map, const Key& key) const;
    template <class Map, class Key>
    void put(Map& map, const Key& key, const Object& object, const PackName& name);
    void drop(const std::set<std::uint32_t>& numbers);
    void make_room(std::size_t objects_max);
  };
  const std::size_t objects_max_;
  base::Guarded<State> state_;
};

}  // namespace cairn::remote
