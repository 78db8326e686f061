// SPDX-License-Identifier: Apache-2.0
// Bringing blobs from the tiers that are read into the store, several at a time.
#pragma once

#include <span>

#include "libbase/thread_pool.h"
#include "libcache/tiers/lookup.h"

namespace cairn::cache {

class Bringing {
 public:
  // All outlive it, and `pool`, which has threads for it, ends before the others do, `opens` after that.
  Bringing(WatchedTiers& tiers, BlobStore& blobs, EntryStore& entries, base::ThreadPool& pool, base::ThreadPool& opens,
           HedgeBudget& budget, const base::Clock& clock, const TiersOptions& options)
      : tiers_(tiers),
        blobs_(blobs),
        entries_(entries),
        pool_(pool),
        opens_(opens),
        budget_(budget),
        clock_(clock),
        options_(options) {}

  // When it returns ok, each of them is in the store and has its size; what came now is an upload that nobody has named
  // yet (EntryStore::uploaded). `first` is asked first. Errors: not_found (one
  // is nowhere, or has another size), no_space, cancelled, io, corrupt. `entry` is what needs them.
  base::Status bring(std::span<const SizedBlob> blobs, const std::optional<EntryName>& entry, std::size_t first,
                     const std::stop_token& stop);

 private:
  struct Work;
  base::Status bring_one(const SizedBlob& blob, const Work& work);
  void take_part(Work& work);

  WatchedTiers& tiers_;
  BlobStore& blobs_;
  EntryStore& entries_;
  base::ThreadPool &pool_, &opens_;
  HedgeBudget& budget_;
  const base::Clock& clock_;
  const TiersOptions& options_;
};

}  // namespace cairn::cache
