// SPDX-License-Identifier: Apache-2.0
// Stores beyond this machine under the cache: in which order they are asked, which of them are written, how long a
// client waits for them, and what becomes of a sick one. Whatever a tier does, a client gets what it would get without
// it or something better, and never waits longer than is said here (decision 32). What doors ask for and what they
// have stored goes through this; without tiers there is none of it.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/clock.h"
#include "libcache/entry_store.h"
#include "libcache/ref.h"
#include "libcache/remote_tier.h"

namespace cairn::cache {

enum class TierUse : std::uint8_t { read, write, both };

struct TierSettings {
  std::unique_ptr<RemoteTier> tier;
  TierUse use = TierUse::both;
};

struct TiersOptions {
  // What a look-up of a client waits at most; less if making the result again takes less (TierEntry::build_time).
  std::chrono::milliseconds lookup_time{2'000};
  // A transfer has this long, and a second more for each MiB.
  std::chrono::milliseconds transfer_time{30'000};
  std::chrono::milliseconds negative_time{3'000};  // for which it is believed that nobody has an entry
  std::size_t negatives_max = 65'536;
  std::size_t fetches_max = 32;       // at a time; others wait in line
  std::size_t fetches_queued = 1024;  // beyond them nobody is asked
  // A second one is asked when the first has not answered for as long as 95 of 100 of its answers took, and at least
  // this.
  std::chrono::milliseconds hedge_time_min{20};
  // Of all requests for entries and for blobs no more than this share is asked twice, and after a time without any so
  // many at once.
  double hedge_share = 0.1;
  std::size_t hedges_at_once = 64;
  // A tier rests after so many failures in a row, twice as long after each further one.
  unsigned failures_max = 5;
  std::chrono::milliseconds rest_time{1'000}, rest_time_max{60'000};
  std::size_t unsent_max = 16'384;         // entries that wait for a tier to take them; further ones are not sent
  std::size_t unsent_blobs_max = 1 << 20;  // that they name
  unsigned attempts_max = 6;               // at sending one
  // A tier that packs is told to send what it has when its first entry is so old, or when there are so many.
  std::chrono::milliseconds batch_time{1'000};
  std::size_t batch_max = 1'000;
  // Room in the store for so many bytes that come from a tier. Empty: there is.
  std::function<base::Status(std::uint64_t bytes)> room{};
};

enum class TierAnswer : std::uint8_t {
  found,      // it is in the store now: look again
  none,       // no tier has it, all of it, and what its name says
  late,       // it may come yet, and then is in the store; whoever asked is not to wait for it
  not_asked,  // there is too much to do already
};

std::string_view to_string(BreakerState state);

// Errors that a tier has made, by what they are.
enum class TierFault : std::uint8_t { io, busy, unavailable, corrupt, other };
inline constexpr std::size_t tier_faults = 5;

struct TierStatistics {
  std::string name;
  std::uint64_t hits = 0, misses = 0;  // of entries
  std::uint64_t blobs_in = 0, bytes_in = 0;
  std::uint64_t entries_out = 0, blobs_out = 0, bytes_out = 0;
  std::uint64_t hedges = 0;   // requests for entries and for blobs that were begun because another one took long
  std::uint64_t skipped = 0;  // calls that were not made because it rested
  std::uint64_t dropped = 0;  // entries that were not sent
  std::array<std::uint64_t, tier_faults> faults{};
  BreakerState reading = BreakerState::closed, writing = BreakerState::closed;
  std::size_t unsent = 0;
  TierPacking packing{};
  std::vector<TierPeerStatistics> peers{};
};
std::string prometheus_text(std::span<const TierStatistics> tiers);

// Thread-safe. Gone before the cache is, after everybody who asks.
class Tiers {
 public:
  Tiers(Cache& cache, std::vector<TierSettings> tiers, const base::Clock& clock, TiersOptions options = {});
  ~Tiers();  // ends what is on its way, and tells whoever waits

  // Called once: at once by the thread that asks, or later by one of here, for which it may do what takes microseconds.
  using Answered = std::function<void(TierAnswer answer)>;
  // Brings blobs into the store, of which each is then what its name says. Errors: not_found, no_space, io, corrupt.
  using BringBlobs = std::function<base::Status(std::span<const SizedBlob> blobs)>;
  // What a value needs, by whoever can read it; `bring` for what it has to read itself. Counts more than what a tier
  // says. Errors: corrupt (it is no such value), and those of `bring`.
  using ReadClosure =
      std::function<base::Result<std::vector<SizedBlob>>(std::string_view value, const BringBlobs& bring)>;

  // For an entry that is not in the store. What tiers bring is hashed while it is put, blobs first and then the entry,
  // so that it is found with all that it needs or not at all (I2, I4, I5). Many who ask for one name share one fetch.
  // Without `closure` an entry whose tier does not say what it needs needs nothing.
  void fetch_entry(const EntryName& name, ReadClosure closure, Answered then);
  // For a blob that is not in the store, of this size.
  void fetch_blob(const SizedBlob& blob, Answered then);

  // The entry has just been put: tiers that are written get it later, and what it needs before it. Does not wait.
  // Nothing is sent of a writer who is not trusted.
  void send(const NewEntry& entry);
  // Sends what waits, and what tiers put together, until this time at most. Returns how many entries are left unsent.
  std::size_t drain(std::chrono::steady_clock::time_point deadline);

  std::vector<TierStatistics> statistics() const;

  struct State;  // private

 private:
  std::unique_ptr<State> state_;
};

}  // namespace cairn::cache
