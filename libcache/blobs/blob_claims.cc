// SPDX-License-Identifier: Apache-2.0
#include "libcache/blobs/blob_claims.h"

namespace cairn::cache {

namespace {

void drop_one(std::unordered_map<BlobDigest, std::uint32_t>& counts, const BlobDigest& digest) {
  const auto found = counts.find(digest);
  if (found != counts.end() && --found->second == 0) counts.erase(found);
}

std::uint64_t hash_of(const BlobDigest& digest) { return std::hash<BlobDigest>()(digest); }

}  // namespace

BlobClaims::Turn::Turn(BlobClaims& claims, const BlobDigest& digest) : claims_(claims), digest_(digest) {
  auto state = claims_.state_.lock();
  if (state->busy.insert(digest_).second) return;
  ++claims_.turns_waited_;
  ++state->waiting;
  claims_.turn_ends_.wait(state.lock(), [&] { return state->busy.insert(digest_).second; });
  --state->waiting;
}

std::unique_ptr<BlobClaims::Turn> BlobClaims::Turn::try_take(BlobClaims& claims, const BlobDigest& digest) {
  if (!claims.state_.lock()->busy.insert(digest).second) return nullptr;
  return std::unique_ptr<Turn>(new Turn(claims, digest, Taken::yes));
}

BlobClaims::Turn::~Turn() {
  bool wake = false;
  {
    auto state = claims_.state_.lock();
    state->busy.erase(digest_);
    wake = state->waiting > 0;
  }
  if (wake) claims_.turn_ends_.notify_all();
}

BlobClaims::Claim::Claim(BlobClaims& claims, const BlobDigest& digest) : claims_(claims), digest_(digest) {
  ++claims_.state_.lock()->claims[digest_];
}

BlobClaims::Claim::~Claim() {
  if (!kept_) claims_.drop(digest_);
}

BlobClaims::Damage::Damage(BlobClaims& claims, const BlobDigest& digest) : claims_(claims), digest_(digest) {
  ++claims_.state_.lock()->damaged[digest_];
}

BlobClaims::Damage::~Damage() { drop_one(claims_.state_.lock()->damaged, digest_); }

std::optional<BlobClaims::Queued> BlobClaims::queued(const BlobDigest& digest) {
  auto state = state_.lock();
  const auto found = state->queued.find(digest);
  if (found == state->queued.end()) return std::nullopt;
  return found->second;
}

bool BlobClaims::is_going(const BlobDigest& digest) {
  auto state = state_.lock();
  return state->dying.contains(digest) || state->damaged.contains(digest);
}

bool BlobClaims::is_damaged(const BlobDigest& digest) { return state_.lock()->damaged.contains(digest); }

void BlobClaims::set_queued(const BlobDigest& digest, const BlobRow& row, std::shared_ptr<const ChunkList> chunks) {
  auto state = state_.lock();
  state->queued[digest] = {row, 0, std::move(chunks)};
  state->dying.erase(digest);  // what goes is the one before; else this one would be gone with it once its row is durable
}

void BlobClaims::set_sequence(const BlobDigest& digest, base::lmdb::SequenceNumber number) {
  auto state = state_.lock();
  if (const auto found = state->queued.find(digest); found != state->queued.end()) found->second.sequence = number;
}

void BlobClaims::unqueue(const BlobDigest& digest) { state_.lock()->queued.erase(digest); }

void BlobClaims::drop(const BlobDigest& digest) { drop_one(state_.lock()->claims, digest); }

bool BlobClaims::is_claimed(const BlobDigest& digest) {
  auto state = state_.lock();
  return state->claims.contains(digest) || state->queued.contains(digest) || promises_.holds(hash_of(digest));
}

void BlobClaims::promise(const BlobDigest& digest) { promises_.note(hash_of(digest)); }

void BlobClaims::promise_instead(const BlobDigest& digest) {
  if (!promises_.are_kept()) return;
  promise(digest);
  drop(digest);
}

bool BlobClaims::try_mark_dying(const BlobDigest& digest) {
  auto state = state_.lock();
  if (state->claims.contains(digest) || state->queued.contains(digest)) return false;
  // Under the lock: whoever finds it not dying, under this lock, has promised it before.
  if (promises_.holds(hash_of(digest)) && !state->dying.contains(digest)) return false;
  state->dying.insert(digest);
  return true;
}

void BlobClaims::unmark_dying(const BlobDigest& digest) { state_.lock()->dying.erase(digest); }

}  // namespace cairn::cache
