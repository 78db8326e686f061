// SPDX-License-Identifier: Apache-2.0
// What has been stored here and tiers are to get later: a line for each tier that is written, and a thread that works
// it off. A line is bounded; what it has no room for, and what a tier does not take after several attempts, is not
// sent. What a tier that packs has taken is a batch, which it is told to send as a whole, until it can.
#pragma once

#include <condition_variable>
#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <vector>

#include "libbase/sync.h"
#include "libcache/tiers/lookup.h"

namespace cairn::cache {

// Held until it is sent, so that a prune does not take it before.
struct Outgoing {
  NewEntry entry;
  ImmutableRef hold;
};

// Thread-safe.
class WriteBehind {
 public:
  WriteBehind(WatchedTiers& tiers, BlobStore& blobs, const base::Clock& clock, const TiersOptions& options);
  ~WriteBehind();

  bool has_lines() const { return !lines_.empty(); }
  // To all tiers that are written (of those `only`, if any are named: they lack what was read elsewhere, and get it
  // only while there is much room for what is new) and take such an entry.
  void add(const std::shared_ptr<const Outgoing>& what, const std::vector<std::size_t>* only = nullptr);
  std::size_t drain(std::chrono::steady_clock::time_point deadline);
  std::size_t unsent(std::size_t tier) const;

 private:
  using Time = std::chrono::steady_clock::time_point;
  struct Line {
    explicit Line(std::size_t tier_in) : tier(tier_in) {}
    struct State {
      std::deque<std::shared_ptr<const Outgoing>> waiting;
      std::size_t blobs = 0;  // that they name, and those that are being sent
      std::size_t sending = 0;
      unsigned draining = 0;  // who waits for the line to be empty
      std::uint64_t dropped_unsaid = 0;
      Time said{};
      std::size_t unsent() const { return waiting.size() + sending; }
    };
    const std::size_t tier;
    base::Guarded<State> state;
    std::condition_variable_any changed;
    std::jthread thread;
  };
  using Batch = std::vector<std::shared_ptr<const Outgoing>>;
  void work(Line& line, const std::stop_token& stop);
  // nullptr: nothing came until then, or somebody waits for the line to be empty.
  std::shared_ptr<const Outgoing> take(Line& line, std::optional<Time> until, const std::stop_token& stop);
  // They are sent, or are not going to be.
  void done(Line& line, const Batch& batch);
  // Several attempts at it, if they are needed.
  base::Status try_often(Line& line, const std::stop_token& stop, const std::function<base::Status()>& attempt);
  base::Status send_once(std::size_t tier, const Outgoing& what, const std::stop_token& stop);
  base::Result<std::vector<SizedBlob>> needed_of(const NewEntry& entry);
  base::Status send_blobs(WatchedTier& tier, std::span<const SizedBlob> blobs, const EntryName& entry,
                          const std::stop_token& stop);
  void drop(Line& line, std::string_view why);
  bool is_kept_by_others(const SizedBlob& blob) const;

  WatchedTiers& tiers_;
  BlobStore& blobs_;
  const base::Clock& clock_;
  const TiersOptions& options_;
  std::vector<std::unique_ptr<Line>> lines_;
};

}  // namespace cairn::cache
