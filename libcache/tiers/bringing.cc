// SPDX-License-Identifier: Apache-2.0
#include "libcache/tiers/bringing.h"

#include <algorithm>
#include <condition_variable>

namespace cairn::cache {

using base::ErrorCode;
using base::Result;
using base::Status;

namespace {
constexpr std::size_t at_once = 8;  // of one entry

// Whether it is in the store; of another size it is another blob.
Result<bool> is_here(BlobStore& blobs, const SizedBlob& blob) {
  const auto found = TRY(blobs.find(blob.digest));
  if (found && found->size != blob.size)
    return base::fail(ErrorCode::not_found, "blob {} has {} bytes, not {}", blob.digest, found->size, blob.size);
  return found.has_value();
}

}  // namespace

// Shared with threads that come to it when all is done.
struct Bringing::Work {
  std::vector<SizedBlob> blobs;
  std::optional<EntryName> entry;
  std::size_t first = 0;
  std::stop_token stop;
  struct State {
    std::size_t next = 0, active = 0;
    Status outcome;
  };
  base::Guarded<State> state;
  std::condition_variable_any changed;
};

Status Bringing::bring_one(const SizedBlob& blob, const Work& work) {
  if (TRY(is_here(blobs_, blob))) return {};
  // The one that had the entry, then the others in their order.
  std::vector<std::size_t> order;
  for (std::size_t i = 0; i < tiers_.size(); ++i) {
    const std::size_t index = i == 0 ? work.first : i <= work.first ? i - 1 : i;
    if (tiers_[index]->is_read() && tiers_[index]->keeps(blob)) order.push_back(index);
  }
  const TierRaceRules rules{
      .hedge_time = &WatchedTier::blob_hedge_time, .budget = budget_, .pool = opens_, .clock = clock_};
  const auto open = [blob, entry = work.entry](
                        WatchedTier& tier,
                        const std::shared_ptr<Attempt>& attempt) -> Result<std::optional<std::unique_ptr<Arrival>>> {
    auto arrival = TRY(tier.open_blob(blob, entry, attempt));
    if (arrival == nullptr) return std::nullopt;
    return arrival;
  };
  Status last = base::fail(ErrorCode::not_found, "blob {} is in no tier", blob.digest);
  while (!order.empty() && !work.stop.stop_requested()) {
    auto outcome = TierRace<std::unique_ptr<Arrival>>::run(tiers_, order, rules, work.stop, open);
    if (outcome.error) last = tl::unexpected(std::move(*outcome.error));
    if (!outcome.found) break;
    last = tiers_[outcome.tier]->take(**outcome.found, blobs_);
    if (last) return entries_.uploaded(blob.digest), Status();
    if (last.error().code == ErrorCode::no_space) break;
    // Those who were too late this time may be asked again, the others not.
    std::vector<std::size_t> done = std::move(outcome.failed);
    done.insert(done.end(), outcome.without_it.begin(), outcome.without_it.end());
    done.push_back(outcome.tier);
    std::erase_if(order, [&](std::size_t tier) { return std::find(done.begin(), done.end(), tier) != done.end(); });
  }
  return last;
}

void Bringing::take_part(Work& work) {
  for (;;) {
    std::size_t mine = 0;
    {
      auto state = work.state.lock();
      if (!state->outcome || state->next == work.blobs.size()) return;
      mine = state->next++;
      ++state->active;
    }
    Status outcome = bring_one(work.blobs[mine], work);
    {
      auto state = work.state.lock();
      --state->active;
      if (!outcome && state->outcome) state->outcome = std::move(outcome);
    }
    work.changed.notify_all();
  }
}

Status Bringing::bring(std::span<const SizedBlob> blobs, const std::optional<EntryName>& entry, std::size_t first,
                       const std::stop_token& stop) {
  const auto work = std::make_shared<Work>();
  work->entry = entry;
  work->first = first;
  work->stop = stop;
  std::uint64_t bytes = 0;
  for (const SizedBlob& blob : blobs) {
    if (blob.size == 0 || TRY(is_here(blobs_, blob))) continue;  // what is empty is always there
    work->blobs.push_back(blob);
    bytes += std::min(blob.size, ~std::uint64_t{0} - bytes);
  }
  if (work->blobs.empty()) return {};
  if (options_.room) TRY(options_.room(bytes));
  if (work->blobs.size() > 1 && tiers_[first]->is_read()) tiers_[first]->read_ahead(work->blobs, entry, stop);
  for (std::size_t i = 1; i < std::min(at_once, work->blobs.size()); ++i)
    (void)pool_.submit([this, work](const std::stop_token&) { take_part(*work); });  // busy: then fewer at once
  take_part(*work);
  auto state = work->state.lock();
  work->changed.wait(state.lock(), [&] { return state->active == 0; });
  return state->outcome;
}

}  // namespace cairn::cache
