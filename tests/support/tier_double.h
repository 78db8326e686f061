// SPDX-License-Identifier: Apache-2.0
// A tier in memory that can be sick in every way that a real one is.
#pragma once

#include <atomic>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "libbase/clock.h"
#include "libcache/remote_tier.h"

namespace cairn::test {

enum class Sickness : std::uint8_t {
  none,
  black_hole,     // takes a request and never answers, until its deadline
  io,             // 5xx
  busy,           // 429
  unavailable,    // 403
  slow_blobs,     // answers, but of blobs only when it is well again
  slow_drip,      // a byte, and then nothing until the deadline
  wrong_bytes,    // of the right size
  cut_off,        // half of them
  endless,        // more than there are
  forgets,        // says that it has every blob, and has none
  lies_of_size,   // names blobs with a size that they have not
  refuses_packs,  // takes all, and then says that such a pack is not for it
};

// What several doubles may have in common, as tiers on one server.
struct Shelf {
  mutable std::mutex mutex;
  std::map<BlobDigest, std::string> blobs;
  std::map<KeyDigest, cache::TierEntry> entries;
  std::atomic<Sickness> sickness{Sickness::none};
  std::atomic<std::uint64_t> lookups{0}, opens{0}, blob_puts{0}, entry_puts{0}, asked_of_blobs{0}, flushes{0}, ahead{0};
  std::atomic<int> hanging{0};                   // calls in the black hole
  std::atomic<std::int64_t> longest_wait_ns{0};  // that a look-up was given
  std::size_t blob_count() const {
    const std::lock_guard lock(mutex);
    return blobs.size();
  }
  std::optional<cache::TierEntry> entry(const cache::EntryName& name) const {
    const std::lock_guard lock(mutex);
    const auto found = entries.find(key_of(name));
    return found == entries.end() ? std::nullopt : std::optional(found->second);
  }
};

class TierDouble final : public cache::RemoteTier {
 public:
  TierDouble(std::string name, std::shared_ptr<Shelf> shelf, const base::Clock& clock,
             cache::TierAbilities abilities = {})
      : name_(std::move(name)), shelf_(std::move(shelf)), clock_(clock), abilities_(std::move(abilities)) {}

  const std::string& name() const override { return name_; }
  const cache::TierAbilities& abilities() const override { return abilities_; }
  base::Result<std::vector<bool>> has_blobs(std::span<const cache::SizedBlob> blobs,
                                            const cache::TierCall& call) override;
  base::Result<std::unique_ptr<base::ByteSource>> open_blob(const cache::SizedBlob& blob,
                                                            const cache::TierCall& call) override;
  base::Status put_blob(const cache::SizedBlob& blob, base::ByteSource& bytes, const cache::TierCall& call) override;
  base::Result<std::optional<cache::TierEntry>> find_entry(const cache::EntryName& name,
                                                           const cache::TierCall& call) override;
  base::Status put_entry(const cache::EntryName& name, const cache::TierEntry& entry,
                         const cache::TierCall& call) override;
  base::Status flush(const cache::TierCall& call) override;
  base::Status read_ahead(std::span<const cache::SizedBlob> blobs, const cache::TierCall&) override {
    shelf_->ahead += blobs.size();
    return {};
  }
  cache::TierPacking packing() const override { return {.packs_out = shelf_->flushes, .objects_known = 7}; }

 private:
  base::Status suffer(const cache::TierCall& call);
  std::string name_;
  std::shared_ptr<Shelf> shelf_;
  const base::Clock& clock_;
  cache::TierAbilities abilities_;
};

}  // namespace cairn::test
