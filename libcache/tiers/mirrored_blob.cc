// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/mirrored_blob.h"

#include <algorithm>

namespace cairn::cache {

using base::ErrorCode;
using base::fail;
using base::Result;
using base::Status;

namespace {
constexpr std::size_t skipped_at_once = 64 << 10;

std::int64_t now_ns() { return std::chrono::steady_clock::now().time_since_epoch().count(); }
}  // namespace

void WrongBlobs::add(const Peer& peer, const BlobDigest& blob) {
  auto state = state_.lock();
  if (state->size() >= kept) state->clear();
  state->emplace(&peer, blob);
}

bool WrongBlobs::has(const Peer& peer, const BlobDigest& blob) { return state_.lock()->contains({&peer, blob}); }

void StallWatch::add(const std::shared_ptr<Reading>& reading) {
  readings_.lock()->push_back(reading);
  changed_.notify_all();
}

void StallWatch::watch(const std::stop_token& stop) {
  while (!stop.stop_requested()) {
    std::vector<std::shared_ptr<Reading>> all;
    {
      auto readings = readings_.lock();
      changed_.wait(readings.lock(), stop, [&] { return !readings->empty(); });
      changed_.wait_for(readings.lock(), stop, stall_time_ / 4, [] { return false; });
      std::erase_if(*readings, [](const auto& each) { return each.expired(); });
      for (const auto& each : *readings)
        if (auto reading = each.lock()) all.push_back(std::move(reading));
    }
    for (const auto& each : all) {
      const auto attempt = *each->attempt.lock();  // before: another one has just begun
      const std::int64_t began = each->began_ns;
      if (began == 0 || now_ns() - began < stall_time_.count()) continue;
      each->stalled = true;
      attempt->own.request_stop();
    }
  }
}

MirroredBlob::MirroredBlob(const SizedBlob& blob, TierCall call, OpenedBlob first, std::vector<Peer*> others,
                           const base::Clock& clock, WrongBlobs& wrong, StallWatch& watch)
    : blob_(blob), call_(std::move(call)), others_(std::move(others)), clock_(clock), wrong_(wrong) {
  use(std::move(first));
  watch.add(reading_);
}

void MirroredBlob::use(OpenedBlob opened) {
  current_ = std::move(opened);
  *reading_->attempt.lock() = current_.attempt;
  reading_->stalled = false;
}

Result<std::size_t> MirroredBlob::read(std::span<std::byte> out) {
  if (out.empty()) return std::size_t{0};
  for (;;) {
    auto got = read_current(out);
    if (got && *got == 0 && given_ < blob_.size)
      got = fail(ErrorCode::corrupt, "{}: {} ended {} bytes too early", current_.peer->tier->name(), blob_.digest,
                 blob_.size - given_);
    if (got && *got > blob_.size - given_)
      got = fail(ErrorCode::corrupt, "{}: {} has more than {} bytes", current_.peer->tier->name(), blob_.digest,
                 blob_.size);
    if (!got) {
      TRY(go_on_with_another(got.error()));
      continue;
    }
    if (*got == 0) return check_end();
    hash_.update(out.first(*got));
    given_ += *got;
    return got;
  }
}

Result<std::size_t> MirroredBlob::read_current(std::span<std::byte> out) {
  reading_->began_ns = now_ns();
  auto got = current_.bytes->read(out);
  reading_->began_ns = 0;
  if (got) current_.peer->bytes_in += *got;
  if (got || !reading_->stalled || call_.stop.stop_requested()) return got;
  return fail(ErrorCode::io, "{}: {}: no bytes came any more", current_.peer->tier->name(), blob_.digest);
}

Status MirroredBlob::go_on_with_another(const base::Error& why) {
  base::Error last = why;
  current_.peer->note(why, clock_.steady_now());
  if (given_ > 0) given_up_.push_back(current_.peer);
  while (!others_.empty() && !call_.stop.stop_requested() && clock_.steady_now() < call_.deadline) {
    Peer* const peer = others_.front();
    others_.erase(others_.begin());
    if (!peer->begin(clock_.steady_now())) continue;
    const auto attempt = std::make_shared<Attempt>(call_);
    auto source = peer->tier->open_blob(blob_, attempt->call);
    if (!source) {
      last = source.error();
      peer->note(last, clock_.steady_now());
      continue;
    }
    peer->breaker.succeeded();
    if (*source == nullptr) continue;
    use({peer, attempt, std::move(*source)});
    const Status skipped = skip_to(given_);
    if (skipped) return {};
    last = skipped.error();
    peer->note(last, clock_.steady_now());
  }
  return tl::unexpected(std::move(last));
}

Status MirroredBlob::skip_to(std::uint64_t offset) {
  std::vector<std::byte> buffer(skipped_at_once);
  while (offset > 0) {
    const auto room = std::span(buffer).first(std::min<std::uint64_t>(buffer.size(), offset));
    const std::size_t count = TRY(read_current(room));
    if (count == 0)
      return fail(ErrorCode::corrupt, "{}: {} ended too early", current_.peer->tier->name(), blob_.digest);
    offset -= count;
  }
  return {};
}

Result<std::size_t> MirroredBlob::check_end() {
  if (BlobDigest(hash_.finish()) == blob_.digest) return std::size_t{0};
  const auto error = fail(ErrorCode::corrupt, "{}: {} has other bytes", current_.peer->tier->name(), blob_.digest);
  // Of several, those who failed are the likely ones. If it was the last one, it will be alone the next time.
  for (const Peer* const peer : given_up_) wrong_.add(*peer, blob_.digest);
  if (given_up_.empty()) {
    current_.peer->note(error.value(), clock_.steady_now());
    wrong_.add(*current_.peer, blob_.digest);
  }
  return error;
}

}  // namespace cairn::cache
