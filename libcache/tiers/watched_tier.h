// SPDX-License-Identifier: Apache-2.0
// One tier with its breakers and counters: every call of it goes through here.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libbase/sync.h"
#include "libcache/blob_store.h"
#include "libcache/tiers.h"
#include "libcache/tiers/arrival.h"
#include "libcache/tiers/breaker.h"

namespace cairn::cache {

// Thread-safe. Errors: those of RemoteTier, and busy while it rests.
class WatchedTier {
 public:
  WatchedTier(TierSettings settings, const TiersOptions& options, const base::Clock& clock);

  const std::string& name() const { return tier_->name(); }
  const TierAbilities& abilities() const { return tier_->abilities(); }
  bool is_read() const { return use_ != TierUse::write; }
  bool is_written() const { return use_ != TierUse::read; }
  bool knows_door(const std::string& door) const {
    return abilities().only_door.empty() || abilities().only_door == door;
  }
  bool keeps(const SizedBlob& blob) const { return abilities().keeps_blobs && blob.size <= abilities().blob_bytes_max; }

  base::Result<std::optional<TierEntry>> find_entry(const EntryName& name, const std::stop_token& stop);
  // When its first bytes are there. nullptr: the tier has none. `entry` is what needs it (TierCall::entry), here and
  // below.
  base::Result<std::unique_ptr<Arrival>> open_blob(const SizedBlob& blob, const std::optional<EntryName>& entry,
                                                   const std::shared_ptr<Attempt>& attempt);
  // Into the store, hashed on its way (I2), and of its size.
  base::Status take(Arrival& arrival, BlobStore& into);

  // Of a tier that packs: what it can read together of what is going to be brought.
  void read_ahead(std::span<const SizedBlob> blobs, const std::optional<EntryName>& entry, const std::stop_token& stop);

  base::Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const EntryName& entry,
                                            const std::stop_token& stop);
  base::Status put_blob(const SizedBlob& blob, const EntryName& entry, BlobStore& from, const std::stop_token& stop);
  base::Status put_entry(const EntryName& name, const TierEntry& entry, const std::stop_token& stop);
  // What it has taken and not sent yet.
  base::Status send_taken(const std::stop_token& stop);
  // The same at the end: it is not spared for that, for there is no later.
  base::Status flush(std::chrono::steady_clock::time_point deadline, const std::stop_token& stop);

  // How long most of its look-ups take, and how long it is to the first bytes of most blobs: when it makes sense to ask
  // somebody else, too.
  std::chrono::nanoseconds hedge_time() const { return hedge_time_of(latencies_, options_.lookup_time); }
  std::chrono::nanoseconds blob_hedge_time() const { return hedge_time_of(first_bytes_, options_.transfer_time); }
  // Another one was asked later and has answered before: time and again that is as good as no answer.
  void was_overtaken();
  bool rests_for_reads() { return reading_.state(clock_.steady_now()) == BreakerState::open; }
  void count_hedge() { ++counts_.hedges; }
  bool take_missed(const EntryName& name) { return tier_->take_missed(name); }
  void count_dropped() { ++counts_.dropped; }
  std::chrono::steady_clock::time_point writes_rest_until() { return writing_.rests_until(); }
  TierStatistics statistics();  // but for what waits to be sent

 private:
  struct Counts {
    std::atomic<std::uint64_t> hits{0}, misses{0}, blobs_in{0}, bytes_in{0}, entries_out{0}, blobs_out{0}, bytes_out{0},
        hedges{0}, skipped{0}, dropped{0};
    std::array<std::atomic<std::uint64_t>, tier_faults> faults{};
  };
  // The last so many times that something took.
  struct Latencies {
    static constexpr std::size_t kept = 64;
    std::vector<std::chrono::nanoseconds> times;
    std::size_t next = 0;
    void add(std::chrono::nanoseconds time);
    std::chrono::nanoseconds most() const;
  };
  std::chrono::nanoseconds hedge_time_of(base::Guarded<Latencies>& latencies, std::chrono::nanoseconds time) const;
  tl::unexpected<base::Error> rests();
  template <class Call>
  auto ask(Breaker& breaker, Call call) -> decltype(call());
  void note_fault(Breaker& breaker, const base::Error& error);
  TierCall call_for(std::chrono::nanoseconds time, const std::stop_token& stop,
                    const std::optional<EntryName>& entry = std::nullopt) const;
  std::chrono::nanoseconds transfer_time(std::uint64_t bytes) const;

  const std::unique_ptr<RemoteTier> tier_;
  const TierUse use_;
  const TiersOptions& options_;
  const base::Clock& clock_;
  Breaker reading_{options_}, writing_{options_};
  Counts counts_;
  mutable base::Guarded<Latencies> latencies_, first_bytes_;
};

}  // namespace cairn::cache
