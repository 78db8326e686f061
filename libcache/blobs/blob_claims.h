// SPDX-License-Identifier: Apache-2.0
// What is known of blobs beside their rows: those whose row is queued, those that somebody may still name, those that
// are going, and whose turn it is to make or delete the bytes of one. In memory only.
#pragma once

#include <condition_variable>
#include <memory>
#include <optional>
#include <unordered_map>
#include <unordered_set>

#include "libbase/sync.h"
#include "libcache/blobs/chunk_rows.h"
#include "libcache/records/promises.h"

namespace cairn::cache {

// Thread-safe.
class BlobClaims {
 public:
  struct Queued {
    BlobRow row;
    base::lmdb::SequenceNumber sequence = 0;
    std::shared_ptr<const ChunkList> chunks{};  // of a blob that is in chunks
  };

  // The exclusive right to make or delete the bytes of one blob. Whoever wants it waits: concurrent writers of one blob do
  // the work once.
  class Turn {
   public:
    Turn(BlobClaims& claims, const BlobDigest& digest);
    static std::unique_ptr<Turn> try_take(BlobClaims& claims, const BlobDigest& digest);  // none: it is somebody's
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    enum class Taken { yes };
    Turn(BlobClaims& claims, const BlobDigest& digest, Taken) : claims_(claims), digest_(digest) {}

    BlobClaims& claims_;
    BlobDigest digest_;
  };

  // A claim on a blob that somebody puts or reads, dropped again unless it is kept.
  class Claim {
   public:
    Claim(BlobClaims& claims, const BlobDigest& digest);
    ~Claim();
    Claim(const Claim&) = delete;
    Claim& operator=(const Claim&) = delete;
    void keep() { kept_ = true; }

   private:
    BlobClaims& claims_;
    BlobDigest digest_;
    bool kept_ = false;
  };

  // Its row names bytes that are not the blob's, and is being taken away meanwhile.
  class Damage {
   public:
    Damage(BlobClaims& claims, const BlobDigest& digest);
    ~Damage();
    Damage(const Damage&) = delete;
    Damage& operator=(const Damage&) = delete;

   private:
    BlobClaims& claims_;
    BlobDigest digest_;
  };

  // Where a blob is whose row is not durable yet.
  std::optional<Queued> queued(const BlobDigest& digest);
  bool is_going(const BlobDigest& digest);  // dying or damaged
  bool is_damaged(const BlobDigest& digest);
  // It is not dying any more.
  void set_queued(const BlobDigest& digest, const BlobRow& row, std::shared_ptr<const ChunkList> chunks = {});
  void set_sequence(const BlobDigest& digest, base::lmdb::SequenceNumber number);
  void unqueue(const BlobDigest& digest);

  void drop(const BlobDigest& digest);  // one claim
  // Somebody was told, or is about to be, that it is there. Whoever looks for it after this and finds it may tell.
  void promise(const BlobDigest& digest);
  void set_promise_time(std::chrono::milliseconds time) { promises_.set_time(time); }
  // A promise in place of the claim that a put has left; where nothing is promised the claim stays.
  void promise_instead(const BlobDigest& digest);

  bool is_claimed(const BlobDigest& digest);  // or queued, or promised
  bool try_mark_dying(const BlobDigest& digest);  // false: that
  void unmark_dying(const BlobDigest& digest);

  std::uint64_t turns_waited() const { return turns_waited_; }

 private:
  struct State {
    std::unordered_map<BlobDigest, Queued> queued;
    std::unordered_map<BlobDigest, std::uint32_t> claims;  // by puts that no durable record names yet
    std::unordered_set<BlobDigest> dying;
    std::unordered_map<BlobDigest, std::uint32_t> damaged;  // by those who have found it
    std::unordered_set<BlobDigest> busy;
    std::uint32_t waiting = 0;
  };
  base::Guarded<State> state_;
  std::condition_variable_any turn_ends_;
  std::atomic<std::uint64_t> turns_waited_{0};
  Promises promises_;
};

}  // namespace cairn::cache
