// SPDX-License-Identifier: Apache-2.0
// Packs of a bucket as they are read: which there are (a listing from time to time, and the indexes that are new), and
// ranges of them. A pack that is gone is forgotten, one that is not what it says is not asked again, and whoever asks
// for what was in them is told that there is none.
#pragma once

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "libremote/s3/bucket_index.h"
#include "libremote/s3/s3_client.h"
#include "libremote/s3/turn.h"

namespace cairn::remote {

struct PackReading {
  std::chrono::milliseconds refresh_time{5'000};    // how old what is known may be when somebody asks for what is not
  std::chrono::milliseconds relist_time{3'600'000}; // after which it is found out again which are still there
  std::size_t at_once = 8;                          // requests
  std::size_t kept_bytes_max = 32 << 20;            // of what was read ahead
};

// Thread-safe. Errors of all: those of RemoteTier.
class PackReader {
 public:
  // All outlive it.
  PackReader(const S3Client& client, const base::Clock& clock, BucketIndex& index, const PackReading& options)
      : client_(client), clock_(clock), index_(index), options_(options) {}

  // Finds out what is new, if that was not done for this long. Ends in half of the time of the call, and goes on where
  // it was when it is called next. corrupt: an index is not what it should be, which is said once.
  base::Status refresh(const cache::TierCall& call, std::chrono::milliseconds age_max);
  base::Status refresh(const cache::TierCall& call) { return refresh(call, options_.refresh_time); }
  // Whether entries are in the bucket that are objects of their own, as they were before there were packs.
  base::Result<bool> has_single_entries(const cache::TierCall& call);

  // nullopt: the pack is gone.
  base::Result<std::optional<std::string>> read(const PackPlace& place, const cache::TierCall& call);
  // Whose bytes are what the digest says. nullopt: the pack is gone.
  base::Result<std::optional<std::string>> read_blob(const BlobDigest& digest, const PackPlace& place,
                                                     const cache::TierCall& call);
  // Reads what lies together with one request and keeps it for a while: kept() gives each once.
  base::Status read_ahead(std::vector<std::pair<BlobDigest, PackPlace>> wanted, const cache::TierCall& call);
  std::optional<std::string> kept(const BlobDigest& digest);

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Run {  // what is read by one request
    PackPlace place;
    std::vector<std::pair<BlobDigest, PackPlace>> blobs;
  };
  struct Kept {
    std::list<std::pair<BlobDigest, std::string>> in_order;  // the oldest first
    std::unordered_map<BlobDigest, std::list<std::pair<BlobDigest, std::string>>::iterator> blobs;
    std::size_t bytes = 0;
    void add(const BlobDigest& digest, std::string blob, std::size_t bytes_max);
    std::optional<std::string> take(const BlobDigest& digest);
  };
  // Only whoever has the turn uses it.
  struct Listed {
    std::optional<std::string> going_on_after;  // a listing that is not at its end
    bool is_full = false;                       // it is one of all packs
    Time began{};
    std::uint64_t began_ms = 0;
    std::vector<PackName> unread;
    std::optional<Time> last_full;
    std::uint64_t last_ms = 0;
  };
  base::Status list(const cache::TierCall& call, Time until);
  base::Status read_indexes(const cache::TierCall& call, Time until);
  base::Status read_index(const PackName& name, const cache::TierCall& call);
  base::Status read_run(const Run& run, const cache::TierCall& call);
  base::Result<Turn::Held> take_turn(const cache::TierCall& call);
  tl::unexpected<base::Error> lies(const PackPlace& place, std::string_view what);

  const S3Client& client_;
  const base::Clock& clock_;
  BucketIndex& index_;
  const PackReading options_;
  Turn turn_;  // of finding out what is new
  Listed listed_;
  struct Known {
    std::optional<Time> refreshed, asked_for_singles;
    bool has_singles = false, is_behind = false;
  };
  base::Guarded<Known> known_;
  base::Guarded<Kept> kept_;
};

std::string object_of(const PackName& name);  // "packs/…"

}  // namespace cairn::remote
