// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/watched_tier.h"

#include <algorithm>

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {

class LeavingSource final : public base::ByteSource {
 public:
  LeavingSource(base::ByteSource& source, std::atomic<std::uint64_t>& count) : source_(source), count_(count) {}
  Result<std::size_t> read(std::span<std::byte> out) override {
    auto got = source_.read(out);
    if (got) count_ += *got;
    failed_ = failed_ || !got;
    return got;
  }
  bool failed() const { return failed_; }

 private:
  base::ByteSource& source_;
  std::atomic<std::uint64_t>& count_;
  bool failed_ = false;
};

TierFault fault_of(ErrorCode code) {
  switch (code) {
    case ErrorCode::io: return TierFault::io;
    case ErrorCode::busy: return TierFault::busy;
    case ErrorCode::unavailable: return TierFault::unavailable;
    case ErrorCode::corrupt: return TierFault::corrupt;
    default: return TierFault::other;
  }
}

}  // namespace

void WatchedTier::Latencies::add(std::chrono::nanoseconds time) {
  if (times.size() < kept)
    times.push_back(time);
  else
    times[next++ % kept] = time;
}

std::chrono::nanoseconds WatchedTier::Latencies::most() const {
  if (times.empty()) return std::chrono::nanoseconds(0);
  std::vector<std::chrono::nanoseconds> sorted = times;
  const auto at = sorted.begin() + static_cast<std::ptrdiff_t>(sorted.size() * 95 / 100);
  std::nth_element(sorted.begin(), at, sorted.end());
  return *at;
}

WatchedTier::WatchedTier(TierSettings settings, const TiersOptions& options, const base::Clock& clock)
    : tier_(std::move(settings.tier)), use_(settings.use), options_(options), clock_(clock) {}

template <class Call>
auto WatchedTier::ask(Breaker& breaker, Call call) -> decltype(call()) {
  if (!breaker.begin(clock_.steady_now())) return rests();
  auto answer = call();
  if (answer)
    breaker.succeeded();
  else
    note_fault(breaker, answer.error());
  return answer;
}

tl::unexpected<base::Error> WatchedTier::rests() {
  ++counts_.skipped;
  return base::fail(ErrorCode::busy, "tier {} rests", name());
}

void WatchedTier::was_overtaken() { reading_.ended(clock_.steady_now(), ErrorCode::io); }

void WatchedTier::note_fault(Breaker& breaker, const base::Error& error) {
  if (error.code != ErrorCode::cancelled) ++counts_.faults[static_cast<std::size_t>(fault_of(error.code))];
  breaker.ended(clock_.steady_now(), error.code);
}

TierCall WatchedTier::call_for(std::chrono::nanoseconds time, const std::stop_token& stop,
                               const std::optional<EntryName>& entry) const {
  return {clock_.steady_now() + time, stop, entry};
}

std::chrono::nanoseconds WatchedTier::transfer_time(std::uint64_t bytes) const {
  constexpr std::uint64_t seconds_max = 7 * 24 * 3600;
  return options_.transfer_time + std::chrono::seconds(std::min(bytes >> 20, seconds_max));
}

Result<std::optional<TierEntry>> WatchedTier::find_entry(const EntryName& name, const std::stop_token& stop) {
  return ask(reading_, [&]() -> Result<std::optional<TierEntry>> {
    const auto began = clock_.steady_now();
    auto found = TRY(tier_->find_entry(name, call_for(options_.lookup_time, stop)));
    latencies_.lock()->add(clock_.steady_now() - began);
    ++(found ? counts_.hits : counts_.misses);
    if (found) counts_.bytes_in += found->value.size();
    return found;
  });
}

Result<std::unique_ptr<Arrival>> WatchedTier::open_blob(const SizedBlob& blob, const std::optional<EntryName>& entry,
                                                        const std::shared_ptr<Attempt>& attempt) {
  if (!reading_.begin(clock_.steady_now())) return rests();
  const auto began = clock_.steady_now();
  const auto failed = [&](const base::Error& error) {
    note_fault(reading_, error);
    return tl::unexpected<base::Error>(error);
  };
  auto source = tier_->open_blob(blob, call_for(transfer_time(blob.size), attempt->call.stop, entry));
  if (!source) return failed(source.error());
  if (*source == nullptr) return reading_.succeeded(), nullptr;
  auto arrival = std::make_unique<Arrival>(std::move(*source), blob, attempt, counts_.bytes_in, reading_);
  const Status begun = arrival->begin();
  if (!begun) return arrival->settle(), failed(begun.error());
  first_bytes_.lock()->add(clock_.steady_now() - began);
  return arrival;
}

Status WatchedTier::take(Arrival& arrival, BlobStore& into) {
  const auto put = into.put(arrival, arrival.blob.digest);
  arrival.settle();
  if (put) return ++counts_.blobs_in, reading_.succeeded(), Status();
  if (arrival.is_to_blame() || put.error().code == ErrorCode::corrupt)
    note_fault(reading_, put.error());
  else
    reading_.abandoned();
  return tl::unexpected(put.error());
}

void WatchedTier::read_ahead(std::span<const SizedBlob> blobs, const std::optional<EntryName>& entry,
                             const std::stop_token& stop) {
  if (!abilities().packs || !reading_.begin(clock_.steady_now())) return;
  std::uint64_t bytes = 0;
  for (const SizedBlob& blob : blobs) bytes += std::min(blob.size, ~std::uint64_t{0} - bytes);
  const Status read = tier_->read_ahead(blobs, call_for(transfer_time(bytes), stop, entry));
  if (read)
    reading_.abandoned();  // maybe there was nothing to ask for
  else
    note_fault(reading_, read.error());
}

Result<std::vector<bool>> WatchedTier::has_blobs(std::span<const SizedBlob> blobs, const EntryName& entry,
                                                 const std::stop_token& stop) {
  return ask(writing_, [&]() -> Result<std::vector<bool>> {
    auto there = TRY(tier_->has_blobs(blobs, call_for(options_.transfer_time, stop, entry)));
    if (there.size() != blobs.size())
      return base::fail(ErrorCode::io, "tier {} was asked for {} blobs and answered of {}", name(), blobs.size(),
                        there.size());
    return there;
  });
}

Status WatchedTier::put_blob(const SizedBlob& blob, const EntryName& entry, BlobStore& from,
                             const std::stop_token& stop) {
  const auto source = TRY(from.open(blob.digest));
  LeavingSource leaving(*source, counts_.bytes_out);
  return ask(writing_, [&]() -> Status {
    const Status put = tier_->put_blob(blob, leaving, call_for(transfer_time(blob.size), stop, entry));
    // What cannot be read here is not the tier's fault.
    if (!put && leaving.failed()) return base::fail(ErrorCode::not_found, "{}", put.error().message);
    TRY(put);
    ++counts_.blobs_out;
    return {};
  });
}

Status WatchedTier::put_entry(const EntryName& name, const TierEntry& entry, const std::stop_token& stop) {
  return ask(writing_, [&]() -> Status {
    TRY(tier_->put_entry(name, entry, call_for(options_.transfer_time, stop)));
    ++counts_.entries_out;
    counts_.bytes_out += entry.value.size();
    return {};
  });
}

Status WatchedTier::send_taken(const std::stop_token& stop) {
  return ask(writing_, [&] { return tier_->flush(call_for(options_.transfer_time, stop)); });
}

Status WatchedTier::flush(std::chrono::steady_clock::time_point deadline, const std::stop_token& stop) {
  return tier_->flush({deadline, stop});
}

std::chrono::nanoseconds WatchedTier::hedge_time_of(base::Guarded<Latencies>& latencies,
                                                    std::chrono::nanoseconds time) const {
  return std::min(std::max<std::chrono::nanoseconds>(latencies.lock()->most(), options_.hedge_time_min), time / 2);
}

TierStatistics WatchedTier::statistics() {
  TierStatistics said{.name = name(),
                      .hits = counts_.hits,
                      .misses = counts_.misses,
                      .blobs_in = counts_.blobs_in,
                      .bytes_in = counts_.bytes_in,
                      .entries_out = counts_.entries_out,
                      .blobs_out = counts_.blobs_out,
                      .bytes_out = counts_.bytes_out,
                      .hedges = counts_.hedges,
                      .skipped = counts_.skipped,
                      .dropped = counts_.dropped,
                      .packing = tier_->packing(),
                      .peers = tier_->peers()};
  for (std::size_t i = 0; i < tier_faults; ++i) said.faults[i] = counts_.faults[i];
  const auto now = clock_.steady_now();
  said.reading = reading_.state(now);
  said.writing = writing_.state(now);
  return said;
}

}  // namespace cairn::cache
