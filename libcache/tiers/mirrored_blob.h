// SPDX-License-Identifier: Apache-2.0
// A blob that is read from one of its mirrors, and from the next one where that fails in the middle.
#pragma once

#include <atomic>
#include <condition_variable>
#include <memory>
#include <set>
#include <thread>
#include <vector>

#include "libbase/hash/sha256.h"
#include "libbase/sync.h"
#include "libcache/tiers/peer.h"

namespace cairn::cache {

// What one peer has answered.
struct OpenedBlob {
  Peer* peer = nullptr;
  std::shared_ptr<Attempt> attempt;
  std::unique_ptr<base::ByteSource> bytes;
};

// Blobs that came wrong from a peer: of that one they are asked last, for as long as this is remembered. Thread-safe.
class WrongBlobs {
 public:
  void add(const Peer& peer, const BlobDigest& blob);
  bool has(const Peer& peer, const BlobDigest& blob);

 private:
  static constexpr std::size_t kept = 4096;
  base::Guarded<std::set<std::pair<const Peer*, BlobDigest>>> state_;
};

// Ends reads that wait for bytes which do not come, so that a mirror is asked instead. Thread-safe.
class StallWatch {
 public:
  explicit StallWatch(std::chrono::nanoseconds stall_time) : stall_time_(stall_time) {}

  // One read at a time.
  struct Reading {
    std::atomic<std::int64_t> began_ns{0};  // of the steady clock; 0: nobody reads
    std::atomic<bool> stalled{false};
    base::Guarded<std::shared_ptr<Attempt>> attempt;
  };
  void add(const std::shared_ptr<Reading>& reading);

 private:
  void watch(const std::stop_token& stop);
  const std::chrono::nanoseconds stall_time_;
  base::Guarded<std::vector<std::weak_ptr<Reading>>> readings_;
  std::condition_variable_any changed_;
  std::jthread thread_{[this](const std::stop_token& stop) { watch(stop); }};
};

// Verified at its end: what it gives before is what a peer has sent. `others` are asked when the first one fails, from
// where it has come to.
class MirroredBlob final : public base::ByteSource {
 public:
  MirroredBlob(const SizedBlob& blob, TierCall call, OpenedBlob first, std::vector<Peer*> others,
               const base::Clock& clock, WrongBlobs& wrong, StallWatch& watch);
  base::Result<std::size_t> read(std::span<std::byte> out) override;

 private:
  base::Result<std::size_t> read_current(std::span<std::byte> out);
  base::Status go_on_with_another(const base::Error& why);
  base::Status skip_to(std::uint64_t offset);
  base::Result<std::size_t> check_end();
  void use(OpenedBlob opened);

  const SizedBlob blob_;
  const TierCall call_;
  OpenedBlob current_;
  std::vector<Peer*> others_;
  const base::Clock& clock_;
  WrongBlobs& wrong_;
  const std::shared_ptr<StallWatch::Reading> reading_ = std::make_shared<StallWatch::Reading>();
  base::Sha256 hash_;
  std::uint64_t given_ = 0;
  std::vector<Peer*> given_up_;  // who gave some of its bytes and then failed
};

}  // namespace cairn::cache
