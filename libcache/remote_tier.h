// SPDX-License-Identifier: Apache-2.0
// A store beyond this machine as a tier under the cache: the seam between libcache/tiers, which knows order, rights,
// deadlines and what to do with a sick one, and libremote, which knows protocols. A tier is never trusted: what it
// gives is hashed before anybody sees it, and what it cannot do makes a client wait a little, and nothing else.
// Conformance suite: tests/conformance/remote_tier_suite.h.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "libbase/compress/decoder.h"
#include "libbase/result.h"
#include "libcache/digests.h"
#include "libcache/entry_store.h"
#include "libsnapshot/digests.h"

namespace cairn::cache {

struct SizedBlob {
  BlobDigest digest;
  std::uint64_t size = 0;  // bytes
};

// An entry as it goes over the network: its value itself instead of the blob that holds it here.
struct TierEntry {
  std::string value;
  // Every blob that the value needs. nullopt: the protocol does not say it, and whoever can read the value has to.
  std::optional<std::vector<SizedBlob>> closure = std::nullopt;
  std::string attributes = {};
  std::chrono::nanoseconds build_time{0};  // what making it took; 0: unknown
};

// How long a call may take, and who may end it before.
struct TierCall {
  std::chrono::steady_clock::time_point deadline;
  std::stop_token stop;
  // The entry that needs the blobs which the call is about: a tier that is several places, or has several namespaces,
  // keeps both in one of them.
  std::optional<EntryName> entry = std::nullopt;
};

struct TierAbilities {
  bool keeps_blobs = true;
  std::uint64_t blob_bytes_max = ~std::uint64_t{0};  // larger ones are not for this tier
  std::size_t value_bytes_max = 4 << 20;             // of an entry
  // The entries that it can keep are those of this door only ("bazel": action results); empty: all.
  std::string only_door;
  // It puts small ones together: what is put is there for others after flush().
  bool packs = false;
};

// Of a tier that packs.
struct TierPacking {
  std::uint64_t packs_out = 0, pack_bytes_out = 0;
  std::uint64_t objects_known = 0;   // to be there, in memory
  std::uint64_t lookups_spared = 0;  // that were answered without a request
  std::uint64_t puts_spared = 0;     // of what is there
};

enum class BreakerState : std::uint8_t { closed, half_open, open };

// Of one of the peers of a tier that is made of several.
struct TierPeerStatistics {
  std::string name;
  std::uint64_t requests = 0;
  std::uint64_t errors = 0;  // also: another one was asked beside it and was faster
  std::uint64_t hedges = 0;  // requests that were made because another peer took long
  std::uint64_t missed = 0;  // that it had not, as one of its mirrors had
  std::uint64_t bytes_in = 0, bytes_out = 0;
  BreakerState state = BreakerState::closed;
};

// Thread-safe. Every call ends at its deadline or a little later, whatever the other side does.
// Errors of all: io (no connection, no answer in time, an answer that makes no sense, 5xx), busy (it asks for less:
// 429, 503), unavailable (it does not let us: credentials, rights), corrupt, cancelled, invalid_argument (beyond its
// abilities). Messages name the tier, and no secret.
class RemoteTier {
 public:
  virtual ~RemoteTier() = default;
  virtual const std::string& name() const = 0;  // for people: "s3://bucket/prefix"
  virtual const TierAbilities& abilities() const = 0;

  // Which of them it has, in their order. May say no of one that it has, not yes of one that it never had.
  virtual base::Result<std::vector<bool>> has_blobs(std::span<const SizedBlob> blobs, const TierCall& call) = 0;
  // The bytes as they arrive, not verified. nullptr: it has none of that name. Reads are bounded by the call, too.
  virtual base::Result<std::unique_ptr<base::ByteSource>> open_blob(const SizedBlob& blob, const TierCall& call) = 0;
  // There for others when it returns, or, of a tier that packs, after flush(). One that is there already is success.
  virtual base::Status put_blob(const SizedBlob& blob, base::ByteSource& bytes, const TierCall& call) = 0;

  virtual base::Result<std::optional<TierEntry>> find_entry(const EntryName& name, const TierCall& call) = 0;
  // Its blobs have been put. There for others as a blob is. The last of several puts of one name counts, where the
  // protocol can say so.
  virtual base::Status put_entry(const EntryName& name, const TierEntry& entry, const TierCall& call) = 0;

  // These are going to be opened: who has small ones together may read them at once. What cannot be read now is for
  // open_blob to say.
  virtual base::Status read_ahead(std::span<const SizedBlob>, const TierCall&) { return {}; }

  // Sends what a tier that packs has taken before and not sent yet. After a failure it has it still, and sends it with
  // the next call; what it takes is bounded, so then it takes nothing more. An entry is never there before its blobs.
  virtual base::Status flush(const TierCall&) { return {}; }
  virtual TierPacking packing() const { return {}; }

  // Of a tier that is made of several.
  virtual std::vector<TierPeerStatistics> peers() const { return {}; }
  // Whether it is to be put again: since this was asked last, a read of the entry, or of a blob for it, was answered by
  // one place, and another one that should have it, too, had said no.
  virtual bool take_missed(const EntryName&) { return false; }
};

}  // namespace cairn::cache
