// SPDX-License-Identifier: Apache-2.0
// Small blobs and entries that are taken and not in the bucket yet. Packs are sent in the order in which they were
// begun, and an entry is never in an earlier one than what it needs: so it is never there without that, whenever it
// ends.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libbase/clock.h"
#include "libbase/sync.h"
#include "libcache/remote_tier.h"
#include "libremote/s3/bucket_index.h"

namespace cairn::remote {

struct ClosedPack {
  PackName name;
  std::vector<PackItem> items;
  std::string bytes;  // of the object: the index, then the items
};

// Thread-safe. Sends nothing itself.
class PackWriter {
 public:
  PackWriter(const base::Clock& clock, std::size_t pack_bytes) : clock_(clock), pack_bytes_(pack_bytes) {}

  // What is taken already is not taken twice.
  void add_blob(const BlobDigest& digest, std::string_view bytes);
  // Of each blob of `closure` its place, if that is in a pack. `known`: places of those that are in the bucket.
  void add_entry(const KeyDigest& key, std::string_view tier_entry, std::span<const cache::SizedBlob> closure,
                 const std::vector<std::optional<PackPlace>>& known);
  void add_loose(const cache::SizedBlob& blob);
  bool has_blob(const BlobDigest& digest);
  // With so many bytes more it is time to send.
  bool is_full_with(std::size_t bytes);

  // So that what is taken from now on is in others.
  void close();
  // The oldest of those that are closed and not sent; nullptr: there is none.
  std::shared_ptr<const ClosedPack> first_closed();
  void sent(const PackName& name);

 private:
  struct Open {
    std::vector<PackItem> items;
    std::string data;
    std::unordered_map<BlobDigest, std::uint64_t> blobs;  // offsets
    std::unordered_map<KeyDigest, base::Sha256Bytes> entries;
    bool has_bytes = false;  // loose ones alone are not worth a pack
  };
  struct Closed {
    std::shared_ptr<const ClosedPack> pack;
    Open was;
  };
  struct State {
    Open open;
    std::deque<Closed> closed;
    std::uint64_t last_time_ms = 0;
    bool has(const BlobDigest& digest) const;
    PlacedEntry::Place place(const cache::SizedBlob& blob, const std::optional<PackPlace>& known,
                             std::vector<PackName>& packs) const;
    void close(std::uint64_t time_ms);
  };
  const base::Clock& clock_;
  const std::size_t pack_bytes_;
  base::Guarded<State> state_;
};

}  // namespace cairn::remote
